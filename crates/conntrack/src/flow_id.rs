//! Ids of connections, unique within a run: a counter per place that makes ids, multiplied by a secret of
//! the run. Pure but for [`FlowIds::of_user_space`].

use std::fs;
use std::fs::File;
use std::io::Read as _;

use anyhow::Context as _;

/// Ids stay exact in JSON readers that have only doubles. `CT_ID_MASK` of the BPF programs.
const MASK: u64 = (1 << 53) - 1;
/// The counters of one processor: three for the contexts in which BPF programs interrupt one another
/// there, and one that only the first processor's slot of is used, by user space.
const LANES: u32 = 4;
const USER_SPACE: u32 = LANES - 1;
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";

/// The ids that one counter makes.
///
/// The number behind an id is `count * slots + slot`, with a slot for each lane of each processor, so
/// no two counters share one. An odd factor permutes the numbers below 2^53: no two ids are equal
/// before 2^53 numbers are used up, and to whom the factor is unknown an id does not say how many there were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowIds {
    odd: u64,
    possible_cpus: u32,
    slot: u64,
    count: u64,
}

impl FlowIds {
    /// User space's counter in a new run.
    ///
    /// # Errors
    /// If the kernel shows neither random bytes nor its processors.
    pub fn of_user_space() -> anyhow::Result<Self> {
        let mut secret = [0; 8];
        File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut secret))
            .context("read /dev/urandom")?;
        let possible = fs::read_to_string(POSSIBLE).with_context(|| format!("read {POSSIBLE}"))?;
        let possible_cpus =
            cpu_ids(&possible).with_context(|| format!("{POSSIBLE}: {possible:?}"))?;
        Ok(Self::new(
            u64::from_ne_bytes(secret),
            possible_cpus,
            USER_SPACE,
            0,
        ))
    }

    /// The counter of one lane of one processor.
    fn new(secret: u64, possible_cpus: u32, lane: u32, cpu: u32) -> Self {
        Self {
            odd: secret & MASK | 1,
            possible_cpus,
            slot: u64::from(lane) * u64::from(possible_cpus) + u64::from(cpu),
            count: 0,
        }
    }

    /// The factor of this run, odd and below 2^53, for BPF programs that make ids beside us.
    pub fn odd(&self) -> u64 {
        self.odd
    }

    /// One more than the highest number of a processor, for the same.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "BPF programs do not count their ids yet")
    )]
    pub fn possible_cpus(&self) -> u32 {
        self.possible_cpus
    }

    /// An id that was never used in this run; never 0.
    pub fn next(&mut self) -> u64 {
        self.count += 1;
        let slots = u64::from(LANES) * u64::from(self.possible_cpus);
        let raw = self.count.wrapping_mul(slots).wrapping_add(self.slot);
        raw.wrapping_mul(self.odd) & MASK
    }
}

/// One more than the highest number in a list of processors (`0-3,8-11`). Numbers may have gaps, and
/// what BPF knows of a processor is its number.
fn cpu_ids(list: &str) -> Option<u32> {
    let last = list.trim().rsplit([',', '-']).next()?;
    last.parse::<u32>().ok()?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::any;
    use proptest::prop_assert;
    use proptest::proptest;

    use super::*;

    #[test]
    fn processors_may_have_gaps() {
        for (list, ids) in [
            ("0\n", Some(1)),
            ("0-3\n", Some(4)),
            ("0-3,8-11\n", Some(12)),
            ("0,4\n", Some(5)),
            ("", None),
            ("0-x", None),
            ("4294967295", None),
        ] {
            assert_eq!(cpu_ids(list), ids, "{list:?}");
        }
    }

    #[test]
    fn runs_have_their_own_ids() {
        let mut runs = [
            FlowIds::of_user_space().unwrap(),
            FlowIds::of_user_space().unwrap(),
        ];
        let [first, second] = runs.each_mut().map(FlowIds::next);
        assert_ne!(first, second);
        assert_eq!(runs[0].odd() & 1, 1);
        assert!(runs[0].odd() <= MASK && runs[0].possible_cpus() > 0);
    }

    proptest! {
        #[test]
        fn no_id_comes_twice(secret: u64, cpus in 1_u32..20, many in 1_usize..200) {
            let mut seen = HashSet::new();
            for lane in 0..LANES {
                for cpu in 0..cpus {
                    let mut ids = FlowIds::new(secret, cpus, lane, cpu);
                    for _ in 0..many {
                        let id = ids.next();
                        prop_assert!(id != 0 && id <= MASK);
                        prop_assert!(seen.insert(id), "{id} twice");
                    }
                }
            }
        }

        // What is multiplied can be divided again: far beyond what a test can enumerate.
        #[test]
        fn every_number_has_its_own_id(secret: u64, number in any::<u64>(), cpus in 1_u32..8192) {
            let mut ids = FlowIds::new(secret, cpus, USER_SPACE, 0);
            let slots = u64::from(LANES * cpus);
            ids.count = number % (MASK / slots - 2);
            let id = ids.next();
            let inverse = (0..6).fold(ids.odd, |inverse, _| {
                inverse.wrapping_mul(2_u64.wrapping_sub(ids.odd.wrapping_mul(inverse)))
            });
            let raw = id.wrapping_mul(inverse) & MASK;
            prop_assert!(raw == ids.count * slots + ids.slot);
        }
    }
}
