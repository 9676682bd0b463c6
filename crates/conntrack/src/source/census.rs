//! Which of the kernel's live connections a source does not know: asked of ctnetlink, twice, since one that
//! has just begun may be on its way to the source.

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use shared::record::wire::Record;

use crate::ctnetlink::deadline::Deadline;
use crate::ctnetlink::namespaces::Namespaces;
use crate::ctnetlink::namespaces::Unentered;
use crate::flow_entry::Key;
use crate::unseen::Unseen;

/// From the kernel's table to the hook: no queue lies between, only a processor that was interrupted.
const ON_ITS_WAY: Duration = Duration::from_millis(10);

/// What the census may take in all: someone waits for the end of the run.
const AT_MOST: Duration = Duration::from_secs(2);

/// Connections that were not known, by namespace, key and ctnetlink's id.
pub struct Census {
    missing: HashSet<(u32, Key, u64)>,
    unentered: Unentered,
    deadline: Deadline,
}

fn identity(record: &Record) -> (u32, Key, u64) {
    (record.netns_ino, Key::of(record), record.ct_id)
}

impl Census {
    /// Asks in our own namespace, or everywhere.
    ///
    /// # Errors
    /// If the kernel refuses the dump, `is_known` fails, or it takes too long.
    pub fn take(
        namespaces: &mut Namespaces,
        everywhere: bool,
        is_known: impl Fn(&Record) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Self> {
        Self::take_until(Deadline::within(AT_MOST), namespaces, everywhere, is_known)
    }

    fn take_until(
        deadline: Deadline,
        namespaces: &mut Namespaces,
        everywhere: bool,
        is_known: impl Fn(&Record) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Self> {
        let mut missing = HashSet::new();
        let mut failed = Ok(());
        let note = |record: Record| match is_known(&record) {
            Ok(true) => {}
            Ok(false) => {
                missing.insert(identity(&record));
            }
            Err(error) => failed = Err(error),
        };
        namespaces.set_deadline(deadline);
        let dumped = if everywhere {
            namespaces.dump_all(note, drop)
        } else {
            namespaces.dump_own(note).map(|_| Unentered::default())
        };
        namespaces.set_deadline(Deadline::default());
        let unentered = dumped?;
        failed?;
        Ok(Self {
            missing,
            unentered,
            deadline,
        })
    }

    /// Waits until one that has just begun must be known.
    pub fn wait(&self) {
        if !self.missing.is_empty() {
            thread::sleep(ON_ITS_WAY);
        }
    }

    /// Those of them that still live and still are not known.
    ///
    /// # Errors
    /// If the kernel refuses a dump, `is_known` fails, or it takes too long.
    pub fn repeat(
        self,
        namespaces: &mut Namespaces,
        is_known: impl Fn(&Record) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Unseen> {
        let Self {
            mut missing,
            unentered,
            deadline,
        } = self;
        let mut unseen = Unseen {
            live: 0,
            unentered: (!unentered.is_none()).then(|| unentered.to_string()),
        };
        let netns: HashSet<u32> = missing.iter().map(|(netns_ino, ..)| *netns_ino).collect();
        let mut failed = Ok(());
        let note = |record: Record| {
            // A dump may have an entry twice.
            if missing.remove(&identity(&record)) {
                match is_known(&record) {
                    Ok(is_known) => unseen.live += u64::from(!is_known),
                    Err(error) => failed = Err(error),
                }
            }
        };
        namespaces.set_deadline(deadline);
        let dumped = namespaces.dump_some(netns, note, |_, _| {});
        namespaces.set_deadline(Deadline::default());
        dumped?;
        failed.map(|()| unseen)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use netlink::netns::Namespace;

    use super::*;
    use crate::ctnetlink::scope::Scope;

    /// Two of the kernel's messages, at least, and more than one look at the clock.
    const ENTRIES: u64 = 300;
    const SHORT: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_secs(600);

    /// Works in a namespace with so many connections.
    fn within<T: Send>(work: impl FnOnce(&mut Namespaces) -> T + Send) -> T {
        harness::need_root();
        let named = harness::Namespace::new();
        let insert = format!(
            "for port in $(seq {ENTRIES}); do
                echo \"-I -p udp -s 192.0.2.1 -d 192.0.2.2 --sport $port --dport 9 -t 600\"
            done | /usr/sbin/conntrack --load-file -"
        );
        let mut shell = harness::in_namespace(named.name(), "sh");
        let _ = harness::run(shell.args(["-c", &insert])).success();
        let namespace = Namespace::open(named.path().as_ref()).unwrap();
        let inside = namespace.run(|| {
            let scope = Scope::own(false).unwrap();
            work(&mut Namespaces::open(scope).unwrap())
        });
        inside.unwrap()
    }

    #[test]
    fn a_census_that_takes_too_long_is_given_up_in_the_middle_of_a_dump() {
        within(|namespaces| {
            let looked_at = Cell::new(0);
            let deadline = Deadline::within(SHORT);
            let slow = |_: &Record| {
                looked_at.set(looked_at.get() + 1);
                while !deadline.is_over() {
                    thread::yield_now();
                }
                Ok(true)
            };
            let given_up = Census::take_until(deadline, namespaces, true, slow);
            let error = given_up.err().map(|error| error.to_string());
            assert_eq!(error.unwrap(), "that would take too long");
            assert!(looked_at.get() < ENTRIES, "{} entries", looked_at.get());

            // So is the second half, with the same deadline.
            let unknown = |_: &Record| Ok(false);
            let short = Deadline::within(SHORT);
            let census = Census::take_until(short, namespaces, false, unknown).unwrap();
            assert_eq!(census.missing.len() as u64, ENTRIES);
            while !short.is_over() {
                thread::yield_now();
            }
            let error = census.repeat(namespaces, unknown).unwrap_err();
            assert_eq!(error.to_string(), "that would take too long");

            // What was given up is in nobody's way.
            let census = Deadline::within(LONG);
            let census = Census::take_until(census, namespaces, false, unknown).unwrap();
            let unseen = census.repeat(namespaces, unknown).unwrap();
            assert_eq!(unseen.live, ENTRIES);
        });
    }
}
