//! The counters as a file for a Prometheus textfile collector, replaced as a whole at each update.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::counters::Counters;

/// The file.
pub struct Metrics {
    path: PathBuf,
    beside: PathBuf,
    source: &'static str,
    failed: bool,
}

impl Metrics {
    /// Writes the file for the first time.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: PathBuf, source: &'static str) -> io::Result<Self> {
        let mut beside = path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let metrics = Self {
            path,
            beside: beside.into(),
            source,
            failed: false,
        };
        metrics.replace(&Counters::default())?;
        Ok(metrics)
    }

    /// Replaces the file. The first of several failures is logged; none ends the run.
    pub fn update(&mut self, counters: &Counters) {
        match self.replace(counters) {
            Ok(()) => self.failed = false,
            Err(error) if self.failed => log::debug!("metrics: {error}"),
            Err(error) => {
                log::warn!("write metrics {}: {error}", self.path.display());
                self.failed = true;
            }
        }
    }

    fn replace(&self, counters: &Counters) -> io::Result<()> {
        // A collector must never see half a file, and takes no file without the right ending.
        let written = fs::write(&self.beside, render(counters, self.source))
            .and_then(|()| fs::rename(&self.beside, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&self.beside);
        }
        written
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
        // Four of the six were lost in a full table.
        let line = "sextant_conntrack_unseen_total{source=\"tracepoint\"} 2\n";
        assert!(text.contains(line), "{text}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(Metrics::create(dir.path().join("no/such"), "x").is_err());
    }
}
