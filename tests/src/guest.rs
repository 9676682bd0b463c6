//! Runs a scene of `tests/scenes` in a guest that `scripts/vm` boots. A scene prints lines of two columns, a
//! kind and a text.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::tree::repository;
use crate::tree::stdout_of;

/// A guest to boot.
#[derive(Debug, Clone, Copy)]
pub struct Guest<'a> {
    /// What `scripts/kernel` prints.
    pub kernel: &'a Path,
    /// What `scripts/build --static` prints, or a folder with the same programs.
    pub programs: &'a Path,
    /// Processors.
    pub smp: u32,
    /// Additions to the kernel's command line.
    pub append: &'a str,
    /// Programs of this machine that the scene needs.
    pub tools: &'a [&'a str],
    /// Other files of this machine, placed in `/sextant`.
    pub files: &'a [&'a Path],
    /// Time limit in seconds.
    pub limit_s: u32,
}

impl<'a> Guest<'a> {
    /// Two processors, no tools, two minutes.
    #[must_use]
    pub fn new(kernel: &'a Path, programs: &'a Path) -> Self {
        Self {
            kernel,
            programs,
            smp: 2,
            append: "",
            tools: &[],
            files: &[],
            limit_s: 120,
        }
    }

    /// Boots it and runs a scene with its arguments.
    ///
    /// # Errors
    /// If the guest or the scene fails; the message ends with the console's last lines.
    pub fn play(&self, scene: &str) -> anyhow::Result<Output> {
        let directory = TempDir::new().context("make a directory")?;
        let start = directory.path().join("scene");
        fs::write(&start, format!("#!/bin/sh\nexec sh /scenes/{scene}\n"))
            .context("write a scene")?;
        // It goes when the thread that waits for it does, also when a signal ends this process.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM"])
            .arg(repository().join("scripts/vm"))
            .args(["--smp", &self.smp.to_string()])
            .args(["--timeout", &self.limit_s.to_string()])
            .args(["--append", self.append])
            .args([
                "--file",
                &placed(&repository().join("tests/scenes"), "/scenes"),
            ]);
        let programs = executables(self.programs)?;
        let files = programs.iter().map(PathBuf::as_path);
        for file in files.chain(self.files.iter().copied()) {
            let name = file.file_name().context("a file has a name")?;
            let at = format!("/sextant/{}", name.to_string_lossy());
            command.args(["--file", &placed(file, &at)]);
        }
        for tool in self.tools {
            command.args(["--tool", tool]);
        }
        Output::parse(&stdout_of(command.arg(self.kernel).arg(&start))?)
    }
}

/// The programs in a folder. Only `scripts/build` knows which programs there are.
///
/// # Errors
/// If it cannot be read, or holds none.
pub fn executables(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let context = || format!("read {}", folder.display());
    let mut programs = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let meta = fs::metadata(&path).with_context(context)?;
        if meta.is_file() && meta.permissions().mode() & 0o111 != 0 {
            programs.push(path);
        }
    }
    ensure!(!programs.is_empty(), "no program in {}", folder.display());
    Ok(programs)
}

fn placed(host: &Path, guest: &str) -> String {
    format!("{}:{guest}", host.display())
}

/// What a scene printed, by kind.
#[derive(Debug)]
pub struct Output(HashMap<String, Vec<String>>);

impl Output {
    fn parse(output: &str) -> anyhow::Result<Self> {
        let mut lines: HashMap<String, Vec<String>> = HashMap::new();
        for line in output.lines() {
            let (kind, text) = line
                .split_once('\t')
                .with_context(|| format!("not two columns: {line:?}"))?;
            lines
                .entry(kind.to_owned())
                .or_default()
                .push(text.to_owned());
        }
        Ok(Self(lines))
    }

    /// The lines of a kind, in order.
    #[must_use]
    pub fn lines(&self, kind: &str) -> &[String] {
        self.0.get(kind).map_or(&[], Vec::as_slice)
    }

    /// The same, parsed.
    ///
    /// # Errors
    /// If a line is not such JSON.
    pub fn json<T: DeserializeOwned>(&self, kind: &str) -> anyhow::Result<Vec<T>> {
        let parse = |line: &String| {
            serde_json::from_str(line).with_context(|| format!("read {kind}: {line}"))
        };
        self.lines(kind).iter().map(parse).collect()
    }

    /// The only line of a kind.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub fn one(&self, kind: &str) -> anyhow::Result<&str> {
        match self.lines(kind) {
            [line] => Ok(line),
            lines => bail!("{} lines of {kind}, not one", lines.len()),
        }
    }
}
