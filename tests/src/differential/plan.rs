//! Which flows a seed stands for, and the kind of each. Pure: the same seed gives the same flows.

use super::flow::Flow;
use super::kind::Kind;

/// A flow to make.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its choices.
    pub flow: Flow,
}

/// The flows of a seed: each of these kinds in turn, in a random order.
#[must_use]
pub fn plan(seed: u64, count: usize, kinds: &[&'static Kind]) -> Vec<Planned> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut kinds: Vec<&'static Kind> = kinds.iter().copied().cycle().take(count).collect();
    random.shuffle(&mut kinds);
    let flows = kinds.into_iter().enumerate().map(|(number, kind)| {
        let flow = Flow {
            number,
            is_v6: kind.has_v6 && random.bool(),
            is_tcp: kind.has_tcp && (!kind.has_udp || random.bool()),
            choice: random.u64(..),
        };
        Planned { kind, flow }
    });
    flows.collect()
}

#[cfg(test)]
mod tests {
    use super::super::kinds::KINDS;
    use super::*;

    #[test]
    fn a_seed_is_its_flows_and_each_kind_has_some() {
        let kinds: Vec<&'static Kind> = KINDS.iter().collect();
        let text = |seed| format!("{:?}", plan(seed, 100, &kinds));
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
        for kind in KINDS {
            assert!(
                plan(1, 100, &kinds)
                    .iter()
                    .any(|flow| flow.kind.name == kind.name)
            );
        }
    }
}
