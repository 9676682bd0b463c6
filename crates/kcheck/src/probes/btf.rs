//! The kernel's own type information (BTF).

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::Struct;

use crate::probe::Attempt;
use crate::probe::During as _;
use crate::probe::Obstacle;

/// Does BTF know the struct that `guesser --method btf` needs most?
pub fn vmlinux() -> Attempt {
    let btf = Btf::from_vmlinux().during("reading the kernel's BTF")?;
    match btf.type_by_name::<Struct<'_>>("nf_conn") {
        Some(nf_conn) if !nf_conn.is_empty() => Ok(format!(
            "describes struct nf_conn with {} members",
            nf_conn.len()
        )),
        _ => Err(Obstacle::absent("does not describe struct nf_conn")),
    }
}
