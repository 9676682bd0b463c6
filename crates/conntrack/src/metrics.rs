//! The counters as a file for a Prometheus textfile collector, replaced as a whole at each update.

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use shared::atomic_file;

use crate::counters::Counters;

/// The file.
pub struct Metrics {
    path: PathBuf,
    source: &'static str,
    failed: bool,
}

impl Metrics {
    /// Refuses a path where no such file can be.
    ///
    /// # Errors
    /// If its directory does not exist, or something other than a regular file is there.
    pub fn check(path: &Path) -> anyhow::Result<()> {
        atomic_file::check_regular(path)
            .with_context(|| format!("write metrics {}", path.display()))
    }

    /// Writes the file for the first time.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: PathBuf, source: &'static str) -> anyhow::Result<Self> {
        let metrics = Self {
            path,
            source,
            failed: false,
        };
        let written = metrics.replace(&Counters::default());
        written.with_context(|| format!("write metrics {}", metrics.path.display()))?;
        Ok(metrics)
    }

    /// Replaces the file. The first of several failures is logged; none ends the run.
    pub fn update(&mut self, counters: &Counters) {
        match self.replace(counters) {
            Ok(()) => self.failed = false,
            Err(error) if self.failed => log::debug!("metrics: {error:#}"),
            Err(error) => {
                log::warn!("write metrics {}: {error:#}", self.path.display());
                self.failed = true;
            }
        }
    }

    fn replace(&self, counters: &Counters) -> anyhow::Result<()> {
        atomic_file::check_regular(&self.path)?;
        // A collector must never see half a file, and takes no file without the right ending.
        let text = render(counters, self.source);
        Ok(atomic_file::replace(&self.path, text.as_bytes(), 0o666)?)
    }
}

fn render(counters: &Counters, source: &str) -> String {
    let mut text = String::new();
    let mut family = |name, help, label, counts: &mut dyn Iterator<Item = (&str, u64)>| {
        let name = format!("sextant_conntrack_{name}_total");
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        for (value, count) in counts {
            let labels = format!("source=\"{source}\",{label}=\"{value}\"");
            let _ = writeln!(text, "{name}{{{labels}}} {count}");
        }
    };
    let records = "Records written, by type.";
    family("records", records, "type", &mut counters.by_type());
    let mut lost = counters
        .by_place()
        .map(|(place, count)| (place.name(), count));
    family("lost", "Events lost, by place.", "where", &mut lost);
    // Known at the end of a run, and absent before.
    if let Some(unseen) = counters.unseen() {
        let name = "sextant_conntrack_unseen_total";
        let help = "Live connections that this source has never reported, at the end of the run.";
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        let _ = writeln!(text, "{name}{{source=\"{source}\"}} {unseen}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileTypeExt as _;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use shared::record::wire::Loss;
    use shared::record::wire::kind;

    use super::*;
    use crate::unseen::Unseen;

    #[test]
    fn the_file_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("conntrack.prom");
        let mut metrics = Metrics::create(path.clone(), "tracepoint").unwrap();
        let mut counters = Counters::default();
        counters.count(kind::NEW);
        counters.lost(Loss::TableFull, 4);
        metrics.update(&counters);
        let text = fs::read_to_string(&path).unwrap();
        for line in [
            "sextant_conntrack_records_total{source=\"tracepoint\",type=\"new\"} 1\n",
            "sextant_conntrack_lost_total{source=\"tracepoint\",where=\"table_full\"} 4\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("unseen"), "{text}");
        let unentered = None;
        counters.set_unseen(Ok(Unseen { live: 6, unentered }));
        metrics.update(&counters);
        let text = fs::read_to_string(&path).unwrap();
        // Also if four of them were lost in a full table: those may have ended.
        let line = "sextant_conntrack_unseen_total{source=\"tracepoint\"} 6\n";
        assert!(text.contains(line), "{text}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(Metrics::create(dir.path().join("no/such"), "x").is_err());
    }

    #[test]
    fn what_is_no_regular_file_stays_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let link = dir.path().join("link");
        symlink(&pipe, &link).unwrap();
        for path in [&pipe, &link] {
            let error = Metrics::check(path).unwrap_err();
            let text = format!("write metrics {}: not a regular file", path.display());
            assert_eq!(format!("{error:#}"), text);
            assert!(Metrics::create(path.clone(), "x").is_err());
        }
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

        // Nor one that comes later; and nothing is written to what waits under a name that can be guessed.
        let path = dir.path().join("conntrack.prom");
        let mut metrics = Metrics::create(path.clone(), "x").unwrap();
        let precious = dir.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let beside = format!("{}.{}", path.display(), std::process::id());
        symlink(&precious, &beside).unwrap();
        metrics.update(&Counters::default());
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        metrics.update(&Counters::default());
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
    }
}
