//! Follows a path through type information: unnamed members, arrays, typedefs, and several structs of one
//! name. Pure. Whatever the types say, it ends after a fixed number of steps.

use super::format::Btf;
use super::format::TypeKind;
use super::header::TypeId;

/// Unnamed structs are nested no deeper than this.
const MAX_DEPTH: usize = 16;
/// Types and members that are looked at for all fields together. A kernel takes a few thousand; types
/// that contain each other could lead on for ever.
const MAX_STEPS: u32 = 1 << 18;

/// Why type information gives no offset for a field. It completes "BTF …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    /// There is no such struct.
    #[error("has no struct {0}")]
    Struct(&'static str),
    /// The struct, or one in it, has no such member.
    #[error("has no {0} there")]
    Member(&'static str),
    /// The array is shorter.
    #[error("has no element {0} there")]
    Element(u32),
    /// The member does not begin at a whole byte.
    #[error("has it as a bit field")]
    BitField,
    /// What a kernel is built without often remains as an empty struct.
    #[error("has it as an empty struct: this kernel is built without it")]
    Empty,
    /// The member has another type here.
    #[error("has it with {0} bytes, which are too few")]
    Small(u64),
    /// Structs of the same name disagree.
    #[error("contradicts itself: it has {0} structs of this name, which differ here")]
    Contradiction(usize),
    /// A type refers to one that is not there, or contains itself.
    #[error("is corrupt here: its types lead nowhere")]
    Nowhere,
}

/// Follows paths through the type information of one file.
///
/// Sums and products saturate: what is too large for a number lies beyond the end of its struct, too.
pub struct Walk<'b, 'a> {
    btf: &'b Btf<'a>,
    steps_left: u32,
}

impl<'b, 'a> Walk<'b, 'a> {
    /// Has followed no path yet.
    #[must_use]
    pub fn new(btf: &'b Btf<'a>) -> Self {
        Self {
            btf,
            steps_left: MAX_STEPS,
        }
    }

    /// The byte offset of the member at the end of a path, if it has at least so many bytes and every
    /// struct of the name has it there.
    ///
    /// # Errors
    /// Why there is none.
    pub fn offset(&mut self, path: &'static str, bytes: u32) -> Result<u32, Absent> {
        let (name, members) = path.split_once('.').ok_or(Absent::Struct(path))?;
        let btf = self.btf;
        let mut structs = btf.structs(name);
        let first = structs.next().ok_or(Absent::Struct(name))?;
        let answer = self.offset_in(first, members, bytes);
        for other in structs {
            let other = self.offset_in(other, members, bytes);
            if other == Err(Absent::Nowhere) {
                return other;
            }
            if answer.ok() != other.ok() {
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
        let mut at_bits = 0_u64;
        for part in members.split(['.', '[']) {
            let (part_bits, of) = match part.strip_suffix(']') {
                Some(index) => self.element(current, index.parse().unwrap_or(u32::MAX))?,
                None => {
                    let found = self.member(current, part, MAX_DEPTH)?;
                    found.ok_or(Absent::Member(part))?
                }
            };
            at_bits = at_bits.saturating_add(part_bits);
            current = of;
        }
        let at = u32::try_from(at_bits / 8).map_err(|_| Absent::Nowhere)?;
        let end = u64::from(at) + u64::from(bytes);
        match self.size_bytes(current)? {
            _ if at_bits % 8 != 0 => Err(Absent::BitField),
            0 => Err(Absent::Empty),
            size if size < u64::from(bytes) => Err(Absent::Small(size)),
            _ if end > self.size_bytes(outer)? => Err(Absent::Nowhere),
            _ => Ok(at),
        }
    }

    /// A member of a struct or union, also inside of unnamed ones: its offset in bits and its type.
    fn member(
        &mut self,
        parent: TypeId,
        name: &str,
        depth: usize,
    ) -> Result<Option<(u64, TypeId)>, Absent> {
        let depth = depth.checked_sub(1).ok_or(Absent::Nowhere)?;
        let (parent, _) = self.resolve(parent)?;
        for member in self.btf.members(parent) {
            self.step()?;
            let member = member.ok_or(Absent::Nowhere)?;
            let offset_bits = member.offset_bits.map(u64::from);
            if member.is_named(name) {
                return Ok(Some((offset_bits.ok_or(Absent::BitField)?, member.of)));
            }
            // An unnamed bit field is padding.
            if let (Some(outer_bits), true) = (offset_bits, member.is_named("")) {
                if let Some((inner_bits, of)) = self.member(member.of, name, depth)? {
                    return Ok(Some((outer_bits.saturating_add(inner_bits), of)));
                }
            }
        }
        Ok(None)
    }

    /// Where an element of an array begins, in bits, and its type.
    fn element(&mut self, array: TypeId, index: u32) -> Result<(u64, TypeId), Absent> {
        match self.resolve(array)? {
            (_, TypeKind::Array { of, len }) if index < len => {
                let size_bits = self.size_bytes(of)?.saturating_mul(8);
                Ok((size_bits.saturating_mul(index.into()), of))
            }
            _ => Err(Absent::Element(index)),
        }
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&mut self, mut id: TypeId) -> Result<(TypeId, TypeKind), Absent> {
        loop {
            self.step()?;
            match self.btf.kind(id).ok_or(Absent::Nowhere)? {
                TypeKind::Alias(of) => id = of,
                kind => return Ok((id, kind)),
            }
        }
    }

    fn size_bytes(&mut self, mut id: TypeId) -> Result<u64, Absent> {
        let mut count = 1_u64;
        loop {
            self.step()?;
            id = match self.btf.kind(id).ok_or(Absent::Nowhere)? {
                TypeKind::Sized(bytes) => return Ok(count.saturating_mul(bytes.into())),
                TypeKind::Alias(of) => of,
                TypeKind::Array { of, len } => {
                    count = count.saturating_mul(len.into());
                    of
                }
            };
        }
    }

    fn step(&mut self) -> Result<(), Absent> {
        self.steps_left = self.steps_left.checked_sub(1).ok_or(Absent::Nowhere)?;
        Ok(())
    }
}
