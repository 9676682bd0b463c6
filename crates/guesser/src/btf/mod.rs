//! What the kernel's own type information says of a field: from `struct.member[index].member` to a
//! byte offset. Only a cross-check, unless asked for: on kernels with randomised structs it can be
//! wrong, and many kernels have none. [`mod@format`] reads the bytes.

mod format;

#[cfg(test)]
mod tests;

use std::path::Path;

use shared::offsets::Field;

use crate::bpf::sysfs::Contents;
use format::Btf;
use format::Kind;
use format::Member;
use format::TypeId;

/// Where the kernel keeps it. `struct nf_conn` is complete in it even where conntrack is a module.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Unnamed structs and aliases lie in each other no deeper than this.
const MAX_DEPTH: usize = 16;
const POINTER_BYTES: u32 = 8;

/// What type information says of a set of fields.
#[derive(Debug)]
pub struct TypeInfo {
    offsets: Vec<(Field, Option<u32>)>,
}

impl TypeInfo {
    /// Asks the running kernel; none if it has no type information or it cannot be read.
    #[must_use]
    pub fn of_running(fields: &[Field]) -> Option<Self> {
        match Contents::of_sysfs(Path::new(VMLINUX)) {
            Ok(bytes) => Self::read(&bytes, fields),
            Err(error) => {
                log::debug!("{VMLINUX}: {error}");
                None
            }
        }
    }

    fn read(bytes: &[u8], fields: &[Field]) -> Option<Self> {
        let btf = Btf::parse(bytes)?;
        let offset = |field: &Field| (*field, offset(&btf, field.path(), field.size_bytes()));
        Some(Self {
            offsets: fields.iter().map(offset).collect(),
        })
    }

    /// Type information that says just this.
    #[cfg(test)]
    pub fn of(offsets: &[(Field, Option<u32>)]) -> Self {
        Self {
            offsets: offsets.to_vec(),
        }
    }

    /// The offset of a field; none if its struct or member is not there.
    #[must_use]
    pub fn offset(&self, field: Field) -> Option<u32> {
        let (_, offset) = self.offsets.iter().find(|(known, _)| *known == field)?;
        *offset
    }
}

/// The offset at the end of a path, if a member of at least so many bytes is there: what a kernel is
/// built without often remains as an empty struct.
fn offset(btf: &Btf<'_>, path: &str, bytes: u32) -> Option<u32> {
    let mut parts = path.split('.');
    let mut current = btf.find_struct(parts.next()?)?;
    let mut at_bits = 0_u32;
    for part in parts {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, Some(index.strip_suffix(']')?.parse::<u32>().ok()?)),
            None => (part, None),
        };
        let (offset_bits, member) = member(btf, current, name.as_bytes(), MAX_DEPTH)?;
        at_bits = at_bits.checked_add(offset_bits)?;
        current = member;
        if let Some(index) = index {
            let Kind::Array { of, len } = btf.kind(resolve(btf, current)?)? else {
                return None;
            };
            if index >= len {
                return None;
            }
            let before = index.checked_mul(size_bytes(btf, of, MAX_DEPTH)?)?;
            at_bits = at_bits.checked_add(before.checked_mul(8)?)?;
            current = of;
        }
    }
    let whole = at_bits % 8 == 0 && size_bytes(btf, current, MAX_DEPTH)? >= bytes;
    whole.then_some(at_bits / 8)
}

/// A member of a struct or union, also inside of unnamed ones: its offset in bits and its type.
fn member(btf: &Btf<'_>, parent: TypeId, name: &[u8], depth: usize) -> Option<(u32, TypeId)> {
    let parent = resolve(btf, parent)?;
    let inside = |found: Member<'_>| {
        let offset_bits = found.offset_bits?;
        if found.name == name {
            return Some((offset_bits, found.kind));
        }
        if !found.name.is_empty() {
            return None;
        }
        let (inner_bits, kind) = member(btf, found.kind, name, depth.checked_sub(1)?)?;
        Some((offset_bits.checked_add(inner_bits)?, kind))
    };
    btf.members(parent).find_map(inside)
}

/// The type behind typedefs and qualifiers.
fn resolve(btf: &Btf<'_>, mut id: TypeId) -> Option<TypeId> {
    for _ in 0..MAX_DEPTH {
        match btf.kind(id)? {
            Kind::Alias { of } => id = of,
            _ => return Some(id),
        }
    }
    None
}

fn size_bytes(btf: &Btf<'_>, id: TypeId, depth: usize) -> Option<u32> {
    match btf.kind(resolve(btf, id)?)? {
        Kind::Scalar { bytes } | Kind::Composite { bytes, .. } => Some(bytes),
        Kind::Pointer => Some(POINTER_BYTES),
        Kind::Array { of, len } => size_bytes(btf, of, depth.checked_sub(1)?)?.checked_mul(len),
        Kind::Alias { .. } | Kind::Other => None,
    }
}
