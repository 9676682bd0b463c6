//! Whether `RLIMIT_MEMLOCK` stands between us and BPF maps: before 5.11 their memory counted
//! against it. Raising it needs a privilege that containers rarely have.

use nix::sys::resource::Resource;
use nix::sys::resource::getrlimit;
use nix::sys::resource::rlim_t;
use nix::sys::resource::setrlimit;
use shared::capability::Capability;

use crate::probe::Attempt;
use crate::probe::Obstacle;

use super::maps;

/// Makes a map while no locked memory is allowed at all. libbpf then raises the limit if this
/// kernel counts maps, as it does in every tool.
pub fn maps_beyond_the_limit() -> Attempt {
    let lowered = Lowered::to_nothing()?;
    let made = maps::make_array("BPF_MAP_CREATE beyond RLIMIT_MEMLOCK");
    let (soft, _) = limit()?;
    drop(lowered);
    if let Err(obstacle) = made {
        // If a map can be made within the limit, it was the limit that forbade it.
        let within = maps::make_array("BPF_MAP_CREATE within RLIMIT_MEMLOCK");
        return Err(match within {
            Ok(()) => Obstacle::Lacking(vec![Capability::CAP_SYS_RESOURCE.to_string()]),
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
        setrlimit(Resource::RLIMIT_MEMLOCK, 0, hard)
            .map_err(|errno| Obstacle::refused("setrlimit(RLIMIT_MEMLOCK)", Some(errno)))?;
        Ok(Self { soft, hard })
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        // Unless libbpf has raised it meanwhile, which must stay so for the maps to come.
        if limit().is_ok_and(|(soft, _)| soft == 0) {
            let _ = setrlimit(Resource::RLIMIT_MEMLOCK, self.soft, self.hard);
        }
    }
}

fn limit() -> Result<(rlim_t, rlim_t), Obstacle> {
    getrlimit(Resource::RLIMIT_MEMLOCK)
        .map_err(|errno| Obstacle::refused("getrlimit(RLIMIT_MEMLOCK)", Some(errno)))
}
