//! Which probes would make the kernel load a module.

use lab::iptables;
use lab::modules::Modules;
use lab::nft;
use netlink::ctnetlink;

use crate::probe::Obstacle;

/// The module behind ctnetlink.
const CTNETLINK: &str = "nf_conntrack_netlink";

/// Modules that are not loaded, and that the kernel would load for a request.
#[derive(Default)]
pub struct Loading {
    would_load: Vec<&'static str>,
    /// Those of the legacy iptables interface.
    legacy: Vec<&'static str>,
}

impl Loading {
    /// Those of this machine now, or none if loading is allowed.
    pub fn now(allowed: bool) -> Self {
        if allowed {
            return Self::default();
        }
        let modules = Modules::running();
        let needed = [nft::MODULES, &[CTNETLINK]].concat();
        Self {
            would_load: modules.would_load(&needed),
            legacy: modules.would_load(iptables::MODULES),
        }
    }

    /// Modules that a request to the legacy iptables interface must not need.
    pub fn legacy(&self) -> &[&'static str] {
        &self.legacy
    }

    /// May nf_tables be asked to switch connection tracking on?
    pub fn allows_tracking(&self) -> Result<(), Obstacle> {
        self.allows(|module| !is_nat(module) && module != CTNETLINK)
    }

    /// May nf_tables be asked for NAT?
    pub fn allows_nat(&self) -> Result<(), Obstacle> {
        self.allows(|module| module != CTNETLINK)
    }

    /// May ctnetlink be asked?
    pub fn allows_ctnetlink(&self) -> Result<(), Obstacle> {
        self.allows(|module| ctnetlink::MODULES.contains(&module))
    }

    fn allows(&self, needs: impl Fn(&str) -> bool) -> Result<(), Obstacle> {
        let mut would_load = self.would_load.clone();
        would_load.retain(|module| needs(module));
        if would_load.is_empty() {
            return Ok(());
        }
        Err(not_tried(&would_load))
    }
}

/// The answer of a probe that would load these.
pub fn not_tried(would_load: &[&str]) -> Obstacle {
    Obstacle::undecided(format!(
        "not tried: it would make the kernel load {} (--allow-system-changes permits that)",
        would_load.join(", ")
    ))
}

fn is_nat(module: &str) -> bool {
    module.contains("nat")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(would_load: &[&'static str], allowed: [bool; 3]) {
        let loading = Loading {
            would_load: would_load.to_vec(),
            legacy: Vec::new(),
        };
        let answers = [
            loading.allows_tracking(),
            loading.allows_nat(),
            loading.allows_ctnetlink(),
        ];
        assert_eq!(
            answers.map(|answer| answer.is_ok()),
            allowed,
            "{would_load:?}"
        );
    }

    #[test]
    fn only_what_would_load_a_module_is_left_out() {
        check(&[], [true, true, true]);
        check(&["nft_chain_nat"], [true, false, true]);
        check(&["nf_conntrack_netlink"], [true, true, false]);
        check(&["nft_ct"], [false, false, true]);
        check(&["nf_conntrack"], [false, false, false]);
    }

    #[test]
    fn nothing_is_in_the_way_when_loading_is_allowed() {
        assert!(Loading::now(true).would_load.is_empty());
    }
}
