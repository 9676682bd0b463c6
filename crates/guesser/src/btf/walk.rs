//! Follows a path through type information: unnamed members, arrays, typedefs, and structs that are
//! there more than once. Pure, and at an end after a fixed number of steps, whatever the types say.

use super::format::Btf;
use super::format::Kind;
use super::header::TypeId;

/// Unnamed structs and aliases lie in each other no deeper than this.
const MAX_DEPTH: usize = 16;
/// Members and aliases that are looked at for all fields together. A kernel takes a few thousand; types
/// that hold each other could lead on for ever.
const MAX_STEPS: u32 = 1 << 18;
const POINTER_BYTES: u32 = 8;

/// Why type information does not say where a field is. It completes "BTF …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    /// No such struct.
    #[error("has no struct {0}")]
    Struct(&'static str),
    /// The struct, or one in it, lacks a member.
    #[error("has no {0} there")]
    Member(&'static str),
    /// An array is shorter.
    #[error("has no element {0} there")]
    Element(u32),
    /// It is not at a whole byte.
    #[error("has it as a bit field")]
    BitField,
    /// What a kernel is built without often remains as a struct of nothing.
    #[error("has it as an empty struct: this kernel is built without it")]
    Empty,
    /// It is something else here.
    #[error("has it with {bytes} bytes, which are too few")]
    Small {
        /// Its size.
        bytes: u32,
    },
    /// Structs of the same name disagree.
    #[error("contradicts itself: it has {0} structs of this name, which differ here")]
    Contradiction(usize),
    /// Types point to what is not there, or to themselves.
    #[error("is corrupt here: its types lead nowhere")]
    Nowhere,
}

/// A walk through the type information of one file.
pub struct Walk<'b, 'a> {
    btf: &'b Btf<'a>,
    steps: u32,
}

impl<'b, 'a> Walk<'b, 'a> {
    /// A walk that has not begun.
    #[must_use]
    pub fn new(btf: &'b Btf<'a>) -> Self {
        Self {
            btf,
            steps: MAX_STEPS,
        }
    }

    /// The byte offset of what is at the end of a path, if it has at least so many bytes and every
    /// struct of the name has it there.
    ///
    /// # Errors
    /// Why not.
    pub fn offset(&mut self, path: &'static str, bytes: u32) -> Result<u32, Absent> {
        let (name, members) = path.split_once('.').ok_or(Absent::Struct(path))?;
        let btf = self.btf;
        let mut structs = btf.structs(name);
        let first = structs.next().ok_or(Absent::Struct(name))?;
        let answer = self.offset_in(first, members, bytes);
        for other in structs {
            let differs = match (answer, self.offset_in(other, members, bytes)) {
                (_, Err(Absent::Nowhere)) => return Err(Absent::Nowhere),
                (answer, other) => answer.ok() != other.ok(),
            };
            if differs {
                return Err(Absent::Contradiction(btf.structs(name).count()));
            }
        }
        answer
    }

    fn offset_in(
        &mut self,
        outer: TypeId,
        members: &'static str,
        bytes: u32,
    ) -> Result<u32, Absent> {
        let mut current = outer;
        let mut at_bits = 0_u32;
        for part in members.split('.') {
            let (name, index) = match part.split_once('[') {
                Some((name, index)) => (name, index.trim_end_matches(']').parse::<u32>().ok()),
                None => (part, None),
            };
            let (offset_bits, member) = self
                .member(current, name, MAX_DEPTH)?
                .ok_or(Absent::Member(name))?;
            at_bits = at_bits.checked_add(offset_bits).ok_or(Absent::Nowhere)?;
            current = member;
            if let Some(index) = index {
                let (before_bits, element) = self.element(current, index)?;
                at_bits = at_bits.checked_add(before_bits).ok_or(Absent::Nowhere)?;
                current = element;
            }
        }
        let at = at_bits / 8;
        let end = at.checked_add(bytes).ok_or(Absent::Nowhere)?;
        match self.size_bytes(current, MAX_DEPTH)? {
            _ if at_bits % 8 != 0 => Err(Absent::BitField),
            0 => Err(Absent::Empty),
            size if size < bytes => Err(Absent::Small { bytes: size }),
            _ if end > self.size_bytes(outer, MAX_DEPTH)? => Err(Absent::Nowhere),
            _ => Ok(at),
        }
    }

    /// A member of a struct or union, also inside of unnamed ones: its offset in bits and its type.
    fn member(
        &mut self,
        parent: TypeId,
        name: &str,
        depth: usize,
    ) -> Result<Option<(u32, TypeId)>, Absent> {
        let depth = depth.checked_sub(1).ok_or(Absent::Nowhere)?;
        let parent = self.resolve(parent)?;
        for member in self.btf.members(parent) {
            self.step()?;
            let member = member.ok_or(Absent::Nowhere)?;
            if member.is_named(name) {
                let offset_bits = member.offset_bits.ok_or(Absent::BitField)?;
                return Ok(Some((offset_bits, member.kind)));
            }
            // An unnamed bit field is padding.
            let Some(offset_bits) = member.offset_bits.filter(|_| member.is_named("")) else {
                continue;
            };
            if let Some((inner_bits, kind)) = self.member(member.kind, name, depth)? {
                let at_bits = offset_bits.checked_add(inner_bits);
                return Ok(Some((at_bits.ok_or(Absent::Nowhere)?, kind)));
            }
        }
        Ok(None)
    }

    /// Where an element of an array begins, in bits, and its type.
    fn element(&mut self, array: TypeId, index: u32) -> Result<(u32, TypeId), Absent> {
        let array = self.resolve(array)?;
        match self.btf.kind(array) {
            Some(Kind::Array { of, len }) if index < len => {
                let size_bytes = self.size_bytes(of, MAX_DEPTH)?;
                let before_bits = index
                    .checked_mul(size_bytes)
                    .and_then(|at| at.checked_mul(8));
                Ok((before_bits.ok_or(Absent::Nowhere)?, of))
            }
            _ => Err(Absent::Element(index)),
        }
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&mut self, mut id: TypeId) -> Result<TypeId, Absent> {
        loop {
            self.step()?;
            match self.btf.kind(id).ok_or(Absent::Nowhere)? {
                Kind::Alias { of } => id = of,
                _ => return Ok(id),
            }
        }
    }

    fn size_bytes(&mut self, id: TypeId, depth: usize) -> Result<u32, Absent> {
        let id = self.resolve(id)?;
        match self.btf.kind(id).ok_or(Absent::Nowhere)? {
            Kind::Scalar { bytes } | Kind::Composite { bytes } => Ok(bytes),
            Kind::Pointer => Ok(POINTER_BYTES),
            Kind::Array { of, len } => {
                let depth = depth.checked_sub(1).ok_or(Absent::Nowhere)?;
                let of_bytes = self.size_bytes(of, depth)?;
                of_bytes.checked_mul(len).ok_or(Absent::Nowhere)
            }
            Kind::Alias { .. } | Kind::Other => Err(Absent::Nowhere),
        }
    }

    fn step(&mut self) -> Result<(), Absent> {
        self.steps = self.steps.checked_sub(1).ok_or(Absent::Nowhere)?;
        Ok(())
    }
}
