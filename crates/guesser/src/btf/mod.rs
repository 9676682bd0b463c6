//! What the kernel's own type information (BTF) says about a field. It is only a cross-check, unless the
//! user asks for it alone: it can be wrong on kernels with randomised structs, and many kernels have none.
//! `path` names the members that lead to a field, `walk` follows them, `format` finds types and members in
//! the bytes, `header` knows their sections and sizes, `sysfs` gets the bytes.

mod format;
mod header;
mod path;
mod sysfs;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::ops::Deref;
use std::path::Path;

use anyhow::Context as _;
use shared::offsets::Field;

use format::Btf;
use sysfs::Contents;
use walk::Absent;
use walk::Walk;

pub use header::Corrupt;

/// Where the kernel keeps it.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// What the connection tracking module adds to it. Usually the kernel itself uses `struct nf_conn`
/// and so describes it; where it does not, the module does.
const MODULE: &str = "/sys/kernel/btf/nf_conntrack";

/// What type information says about a set of fields.
#[derive(Debug)]
pub struct TypeInfo {
    answers: BTreeMap<Field, Result<u32, String>>,
}

impl TypeInfo {
    /// Reads that of the running kernel.
    ///
    /// # Errors
    /// If the kernel has no type information, or none that can be read.
    pub fn of_running(fields: &[Field]) -> anyhow::Result<Self> {
        let vmlinux = Contents::of_sysfs(Path::new(VMLINUX)).context(VMLINUX)?;
        let module = || Contents::of_sysfs(Path::new(MODULE));
        Self::read(&vmlinux, module, fields).context(VMLINUX)
    }

    /// Reads the type information of a kernel and, if it lacks a struct, that of its module.
    ///
    /// # Errors
    /// If the kernel's is damaged. If the module's is, only its fields have no offset.
    pub fn read<M: Deref<Target = [u8]>>(
        vmlinux: &[u8],
        module: impl FnOnce() -> io::Result<M>,
        fields: &[Field],
    ) -> Result<Self, Corrupt> {
        let vmlinux = Btf::parse(vmlinux, None, &structs(fields))?;
        let mut answers = look_up(&vmlinux, fields);
        let is_lacking = |field: &Field| matches!(answers[field], Err(Absent::Struct(_)));
        let lacking: Vec<Field> = fields.iter().copied().filter(is_lacking).collect();
        let in_module = || -> anyhow::Result<Answers> {
            let bytes = module()?;
            let module = Btf::parse(&bytes, Some(&vmlinux), &structs(&lacking))?;
            Ok(look_up(&module, &lacking))
        };
        let mut refusal = String::new();
        if !lacking.is_empty() {
            match in_module() {
                Ok(found) => answers.extend(found),
                Err(error) => refusal = format!("; {MODULE}: {error:#}"),
            }
        }
        let reason = |absent: Absent| match absent {
            Absent::Struct(_) => format!("BTF {absent}{refusal}"),
            _ => format!("BTF {absent}"),
        };
        let answers = answers.into_iter();
        let answers = answers.map(|(field, answer)| (field, answer.map_err(reason)));
        Ok(Self {
            answers: answers.collect(),
        })
    }

    /// The offset of a field; none if type information does not have it or contradicts itself.
    #[must_use]
    pub fn offset(&self, field: Field) -> Option<u32> {
        self.answers.get(&field)?.as_ref().ok().copied()
    }

    /// Why there is no offset for a field, in one sentence.
    #[must_use]
    pub fn reason(&self, field: Field) -> Option<&str> {
        let answer = self.answers.get(&field)?.as_ref();
        answer.err().map(String::as_str)
    }
}

type Answers = BTreeMap<Field, Result<u32, Absent>>;

fn look_up(btf: &Btf<'_>, fields: &[Field]) -> Answers {
    let mut walk = Walk::new(btf);
    let mut offset = |field: Field| walk.offset(path::path(field), field.size_bytes());
    let answers = fields.iter().map(|field| (*field, offset(*field)));
    answers.collect()
}

/// The structs in which the paths to these fields begin.
fn structs(fields: &[Field]) -> Vec<&'static str> {
    let names = fields.iter().map(|field| path::struct_name(*field));
    let names: BTreeSet<&str> = names.collect();
    names.into_iter().collect()
}
