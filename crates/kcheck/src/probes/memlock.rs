//! Whether `RLIMIT_MEMLOCK` prevents BPF maps: before 5.11 their memory counted against it. To raise it
//! takes a privilege that containers rarely have.

use nix::sys::resource::Resource;
use nix::sys::resource::getrlimit;
use nix::sys::resource::rlim_t;
use nix::sys::resource::setrlimit;
use shared::capability::Capability;

use crate::probe::Attempt;
use crate::probe::During as _;
use crate::probe::Obstacle;

use super::maps;

/// Creates a map while no locked memory is allowed at all. libbpf then raises the limit if this kernel
/// counts maps, as it does in every tool.
pub fn maps_beyond_the_limit() -> Attempt {
    let lowered = Lowered::to_nothing()?;
    let made = maps::make_array("BPF_MAP_CREATE beyond RLIMIT_MEMLOCK");
    let (soft, _) = limit()?;
    drop(lowered);
    if let Err(obstacle) = made {
        // If a map can be created within the limit, the limit was the reason.
        let within = maps::make_array("BPF_MAP_CREATE within RLIMIT_MEMLOCK");
        return Err(match within {
            Ok(()) => Obstacle::lacking(Capability::CAP_SYS_RESOURCE),
            Err(_) => obstacle,
        });
    }
    Ok(if soft == 0 {
        "maps do not count against RLIMIT_MEMLOCK".into()
    } else {
        "maps count against RLIMIT_MEMLOCK, and it can be raised".into()
    })
}

/// The soft limit at zero, until this is dropped.
struct Lowered {
    soft: rlim_t,
    hard: rlim_t,
}

impl Lowered {
    fn to_nothing() -> Result<Self, Obstacle> {
        let (soft, hard) = limit()?;
        setrlimit(Resource::RLIMIT_MEMLOCK, 0, hard).during("setrlimit(RLIMIT_MEMLOCK)")?;
        Ok(Self { soft, hard })
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        // Later maps need the limit as libbpf has raised it, if it has.
        if limit().is_ok_and(|(soft, _)| soft == 0) {
            let _ = setrlimit(Resource::RLIMIT_MEMLOCK, self.soft, self.hard);
        }
    }
}

fn limit() -> Result<(rlim_t, rlim_t), Obstacle> {
    getrlimit(Resource::RLIMIT_MEMLOCK).during("getrlimit(RLIMIT_MEMLOCK)")
}
