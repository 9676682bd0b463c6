//! Which of the kernel's live connections a source does not know: asked of ctnetlink, twice, since one that
//! has just begun may be on its way to the source.

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use shared::record::wire::Record;

use crate::ctnetlink::namespaces::Namespaces;
use crate::ctnetlink::namespaces::Unentered;
use crate::flow_entry::Key;
use crate::unseen::Unseen;

/// From the kernel's table to the hook: no queue lies between, only a processor that was interrupted.
const ON_ITS_WAY: Duration = Duration::from_millis(10);

/// Connections that were not known, by namespace, key and ctnetlink's id.
pub struct Census {
    missing: HashSet<(u32, Key, u64)>,
    unentered: Unentered,
}

fn identity(record: &Record) -> (u32, Key, u64) {
    (record.netns_ino, Key::of(record), record.ct_id)
}

impl Census {
    /// Asks in our own namespace, or everywhere.
    ///
    /// # Errors
    /// If the kernel refuses the dump, or `is_known` fails.
    pub fn take(
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
        let unentered = if everywhere {
            namespaces.dump_all(note, drop)?
        } else {
            namespaces.dump_own(note)?;
            Unentered::default()
        };
        failed?;
        Ok(Self { missing, unentered })
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
    /// If the kernel refuses a dump, or `is_known` fails.
    pub fn repeat(
        self,
        namespaces: &mut Namespaces,
        is_known: impl Fn(&Record) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Unseen> {
        let Self {
            mut missing,
            unentered,
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
        namespaces.dump_some(netns, note, |_, _| {})?;
        failed.map(|()| unseen)
    }
}
