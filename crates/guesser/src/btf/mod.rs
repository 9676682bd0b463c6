//! What the kernel's own type information says of a field. Only a cross-check, unless asked for: on
//! kernels with randomised structs it can be wrong, and many kernels have none. `path` says
//! which members lead to a field, `walk` follows them, `format` finds types and members in the
//! bytes, whose outer form is `header`'s.

mod format;
mod header;
mod path;
mod sysfs;
mod walk;

#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;

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
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// What the connection tracking module adds to it. Usually the kernel itself uses `struct nf_conn`
/// and so has it; a module of a kernel that does not brings it along.
pub const MODULE: &str = "/sys/kernel/btf/nf_conntrack";

/// What type information says of a set of fields.
#[derive(Debug)]
pub struct TypeInfo {
    answers: Vec<(Field, Result<u32, String>)>,
}

impl TypeInfo {
    /// Asks the running kernel.
    ///
    /// # Errors
    /// If it has no type information, or none that can be read.
    pub fn of_running(fields: &[Field]) -> anyhow::Result<Self> {
        let vmlinux = Contents::of_sysfs(Path::new(VMLINUX)).context(VMLINUX)?;
        let module = || Contents::of_sysfs(Path::new(MODULE));
        Self::read(&vmlinux, module, fields).context(VMLINUX)
    }

    /// Asks the type information of a kernel and, if that lacks a struct, of its module.
    ///
    /// # Errors
    /// If the kernel's is refused. If the module's is, its fields say so.
    pub fn read<M: Deref<Target = [u8]>>(
        vmlinux: &[u8],
        module: impl FnOnce() -> io::Result<M>,
        fields: &[Field],
    ) -> Result<Self, Corrupt> {
        let vmlinux = Btf::parse(vmlinux, None, &structs(fields))?;
        let mut answers = ask(&vmlinux, fields);
        let lacking: Vec<Field> = answers
            .iter()
            .filter(|(_, answer)| matches!(answer, Err(Absent::Struct(_))))
            .map(|(field, _)| *field)
            .collect();
        let mut refusal = None;
        if !lacking.is_empty() {
            match of_module(&vmlinux, module, &lacking) {
                Ok(found) => {
                    for (field, answer) in &mut answers {
                        if let Some((_, better)) = found.iter().find(|(known, _)| known == field) {
                            *answer = *better;
                        }
                    }
                }
                Err(error) => refusal = Some(format!("{MODULE}: {error:#}")),
            }
        }
        let reason = |absent: Absent| match (&refusal, absent) {
            (Some(refusal), Absent::Struct(_)) => format!("BTF {absent}; {refusal}"),
            _ => format!("BTF {absent}"),
        };
        let answers = answers.into_iter();
        Ok(Self {
            answers: answers
                .map(|(field, answer)| (field, answer.map_err(reason)))
                .collect(),
        })
    }

    /// Type information that says just this.
    #[cfg(test)]
    pub fn of(offsets: &[(Field, Option<u32>)]) -> Self {
        let answer = |(field, offset): &(Field, Option<u32>)| {
            (*field, offset.ok_or_else(|| "BTF is silent".to_owned()))
        };
        Self {
            answers: offsets.iter().map(answer).collect(),
        }
    }

    /// The offset of a field; none if type information does not have it or contradicts itself.
    #[must_use]
    pub fn offset(&self, field: Field) -> Option<u32> {
        self.answer(field)?.as_ref().ok().copied()
    }

    /// Why there is no offset of a field, in one sentence.
    #[must_use]
    pub fn reason(&self, field: Field) -> Option<&str> {
        self.answer(field)?.as_ref().err().map(String::as_str)
    }

    fn answer(&self, field: Field) -> Option<&Result<u32, String>> {
        let (_, answer) = self.answers.iter().find(|(known, _)| *known == field)?;
        Some(answer)
    }
}

type Answers = Vec<(Field, Result<u32, Absent>)>;

fn ask(btf: &Btf<'_>, fields: &[Field]) -> Answers {
    let mut walk = Walk::new(btf);
    let mut answer = |field: &Field| {
        let offset = walk.offset(path::path(*field), field.size_bytes());
        (*field, offset)
    };
    fields.iter().map(&mut answer).collect()
}

fn of_module<M: Deref<Target = [u8]>>(
    vmlinux: &Btf<'_>,
    module: impl FnOnce() -> io::Result<M>,
    fields: &[Field],
) -> anyhow::Result<Answers> {
    let bytes = module()?;
    let btf = Btf::parse(&bytes, Some(vmlinux), &structs(fields))?;
    Ok(ask(&btf, fields))
}

fn structs(fields: &[Field]) -> Vec<&'static str> {
    let mut names: Vec<&str> = fields
        .iter()
        .map(|field| path::struct_name(path::path(*field)))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}
