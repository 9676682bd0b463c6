//! The kernels as data: parses the text of `tests/kernels.toml` and refuses what makes no sense.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::ensure;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;
use shared::offsets::Field;
use shared::offsets::FieldSet;

use crate::tree::script;

/// The whole table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The fields that guesser is asked for.
    pub fields: FieldSet,
    /// Runs in each state.
    pub runs: u32,
    /// Runs in each state for the short set.
    pub short_runs: u32,
    /// Longest time that a run under a condition may take.
    pub condition_limit_ms: u64,
    /// In the order of the page.
    #[serde(rename = "kernel")]
    pub kernels: Vec<Kernel>,
}

/// One kernel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Its name here; unique.
    pub name: String,
    /// `amd64` or `arm64`.
    pub arch: Arch,
    /// Where it comes from.
    pub source: Source,
    /// Does `scripts/test guest` try it?
    #[serde(default)]
    pub short: bool,
    /// Processors of the guest.
    #[serde(default = "two")]
    pub smp: u32,
    /// Fields that guesser need not prove here, and why.
    #[serde(default)]
    pub missing: Vec<Missing>,
    /// Other guests and how guesser must end there.
    #[serde(default, rename = "condition")]
    pub conditions: Vec<Condition>,
}

fn any_hook() -> String {
    "auto".into()
}

const fn of_the_pipeline() -> FieldSet {
    FieldSet::Conntrack
}

fn two() -> u32 {
    2
}

/// A processor architecture, by Debian's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

impl Arch {
    /// As the scripts write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// Where a kernel comes from.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Source {
    /// A distribution's package, for `scripts/kernel`.
    Package {
        /// Suite of the distribution.
        suite: String,
        /// Beginning of the version.
        version: String,
        /// `full`, `cloud` or `rt`.
        flavour: String,
    },
    /// Built here by `scripts/kernel-build`; only on request, since it takes minutes.
    Built {
        /// Name of the configuration.
        config: String,
        /// Of the kernel's source.
        version: String,
    },
}

impl Source {
    /// The kernel's folder, for `scripts/vm`; fetches or builds what is not in the cache.
    ///
    /// # Errors
    /// If there is no such kernel, or it cannot be had.
    pub fn fetch(&self, arch: Arch) -> anyhow::Result<PathBuf> {
        let folder = match self {
            Self::Package {
                suite,
                version,
                flavour,
            } => script("kernel", &[suite, version, flavour, arch.name()])?,
            Self::Built { config, version } => script("kernel-build", &[config, version])?,
        };
        Ok(PathBuf::from(folder))
    }
}

/// Fields that need not be proven, all for one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// The fields.
    #[serde(deserialize_with = "paths")]
    pub fields: Vec<Field>,
    /// The reason, as a sentence for `docs/kernels.md`.
    pub because: String,
}

fn paths<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Field>, D::Error> {
    Vec::<String>::deserialize(from)?
        .iter()
        .map(|path| {
            path.parse()
                .map_err(|error| D::Error::custom(format!("{path}: {error}")))
        })
        .collect()
}

/// A guest with something unusual, and how guesser must end there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Its name; unique for the kernel.
    pub name: String,
    /// More for the kernel's command line.
    #[serde(default)]
    pub append: String,
    /// Processors of the guest.
    #[serde(default = "two")]
    pub smp: u32,
    /// No module is loaded beforehand.
    #[serde(default)]
    pub without_modules: bool,
    /// Another processor than the sender's handles every packet. Works only without network namespaces.
    #[serde(default)]
    pub steered: bool,
    /// bpf(2) is refused with EPERM by a seccomp filter.
    #[serde(default)]
    pub without_bpf: bool,
    /// The requested fields; those of the pipeline by default.
    #[serde(default = "of_the_pipeline")]
    pub fields: FieldSet,
    /// What guesser may hook.
    #[serde(default = "any_hook")]
    pub hook: String,
    /// Expected exit code.
    pub exit: i32,
    /// A part of the message expected on stderr; may be empty.
    #[serde(default)]
    pub says: String,
    /// Fields that need not be proven under it, beside those of the kernel.
    #[serde(default)]
    pub missing: Vec<Missing>,
}

/// Why a field need not be proven.
pub type Reasons = BTreeMap<Field, String>;

/// The reasons of lists of missing fields, by field; the first list wins.
pub fn reasons<'a>(lists: impl IntoIterator<Item = &'a Missing>) -> Reasons {
    let mut reasons = Reasons::new();
    for list in lists {
        for field in &list.fields {
            reasons
                .entry(*field)
                .or_insert_with(|| list.because.clone());
        }
    }
    reasons
}

impl Matrix {
    /// Reads the text of `tests/kernels.toml`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let matrix: Self = toml::from_str(text).context("read tests/kernels.toml")?;
        let mut names = HashSet::new();
        for kernel in &matrix.kernels {
            let name = &kernel.name;
            ensure!(names.insert(name), "two kernels are called {name}");
            let mut conditions = HashSet::new();
            for condition in &kernel.conditions {
                let condition = &condition.name;
                ensure!(
                    conditions.insert(condition),
                    "{name}: two conditions are called {condition}"
                );
            }
        }
        Ok(matrix)
    }

    /// The kernels with these names; without names, all that are not built here.
    ///
    /// # Errors
    /// If there is no kernel of a name.
    pub fn select(&self, names: &[String]) -> anyhow::Result<Vec<&Kernel>> {
        if names.is_empty() {
            let packaged = |kernel: &&Kernel| matches!(kernel.source, Source::Package { .. });
            return Ok(self.kernels.iter().filter(packaged).collect());
        }
        let find = |name: &String| {
            let known = || self.kernels.iter().map(|kernel| kernel.name.as_str());
            self.kernels
                .iter()
                .find(|kernel| kernel.name == *name)
                .with_context(|| {
                    format!(
                        "no kernel {name}; there are {}",
                        known().collect::<Vec<_>>().join(", ")
                    )
                })
        };
        names.iter().map(find).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "fields = 'conntrack'\nruns = 20\nshort_runs = 3\ncondition_limit_ms = 2000\n";

    fn parse(kernels: &str) -> Result<Matrix, String> {
        Matrix::parse(&format!("{HEAD}{kernels}")).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_matrix_of_this_tree_makes_sense() {
        let matrix = Matrix::parse(include_str!("../../kernels.toml")).unwrap();
        assert!(matrix.kernels.iter().any(|kernel| kernel.short));
        assert!(
            matrix
                .kernels
                .iter()
                .any(|kernel| !kernel.conditions.is_empty())
        );
        // Without names, no kernel is built.
        let chosen = matrix.select(&[]).unwrap();
        let built = |kernel: &&Kernel| matches!(kernel.source, Source::Built { .. });
        assert!(!chosen.iter().any(built));
        assert!(matrix.select(&["nope".into()]).is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let kernel =
            "[[kernel]]\nname = 'a'\narch = 'amd64'\nsource = { config = 'a', version = '6.12' }\n";
        assert!(parse(kernel).is_ok());
        for (bad, word) in [
            (format!("{kernel}{kernel}"), "two kernels"),
            (format!("{kernel}smpp = 3"), "smpp"),
            (kernel.replace("config", "konfig"), "source"),
            (
                format!("{kernel}missing = [{{ fields = ['nf_conn.nope'], because = 'x' }}]"),
                "nf_conn.nope",
            ),
        ] {
            let error = parse(&bad).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
