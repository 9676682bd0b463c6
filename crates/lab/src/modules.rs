//! The rule that no tool makes the kernel load a module without permission: predicts whether a request
//! would. Reads files only; loads nothing itself.

use std::fs;
use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;

/// For each module that the tools may need, one of its functions that is exported or only called
/// through a pointer, so the compiler can neither inline nor rename it. Modules that were added or
/// removed between kernel versions stand beside those that took over their code.
const FUNCTIONS: &[(&str, &str)] = &[
    ("nfnetlink", "nfnetlink_subsys_register"),
    ("nf_tables", "nft_register_expr"),
    ("nf_tables_ipv4", "nft_do_chain_ipv4"),
    ("nf_tables_ipv6", "nft_do_chain_ipv6"),
    ("nf_conntrack", "nf_conntrack_in"),
    ("nf_conntrack_ipv4", "ipv4_conntrack_in"),
    ("nf_conntrack_ipv6", "ipv6_conntrack_in"),
    ("nf_conntrack_netlink", "ctnetlink_new_conntrack"),
    ("nf_nat", "nf_nat_setup_info"),
    ("nft_ct", "nft_ct_get_init"),
    ("nft_nat", "nft_nat_init"),
    ("nft_chain_nat", "nft_nat_do_chain"),
    ("nft_chain_nat_ipv4", "nft_nat_do_chain"),
    ("nft_chain_nat_ipv6", "nft_nat_do_chain"),
    ("x_tables", "xt_register_target"),
    ("ip_tables", "ipt_do_table"),
    ("iptable_filter", "iptable_filter_table_init"),
    ("iptable_raw", "iptable_raw_table_init"),
    ("iptable_mangle", "iptable_mangle_table_init"),
    ("iptable_nat", "iptable_nat_table_init"),
    ("nf_nat_ipv4", "nf_nat_ipv4_out"),
    ("xt_conntrack", "conntrack_mt_check"),
    ("xt_CT", "xt_ct_target_v1"),
    ("xt_connmark", "connmark_tg"),
    ("xt_mark", "mark_mt"),
    ("xt_nat", "xt_snat_target_v0"),
];

/// The modules that a kernel has, and those that it could load.
#[derive(Debug, Clone)]
pub struct Modules {
    root: PathBuf,
}

impl Modules {
    /// Of the running kernel.
    #[must_use]
    pub fn running() -> Self {
        Self::at(Path::new("/"))
    }

    /// By the files below `root`: `proc`, `sys` and `lib/modules`.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Those of the `needed` modules that the kernel would load.
    ///
    /// A module that is present, or that the kernel cannot load, is not among them: a request for it
    /// changes nothing, whether it succeeds or fails. A module about which nothing is known counts as
    /// one that the kernel would load.
    ///
    /// Takes well under a millisecond, except in a container that does not show the kernel's
    /// modules: reading `/proc/kallsyms` takes tens of milliseconds.
    #[must_use]
    pub fn would_load<'a>(&self, needed: &[&'a str]) -> Vec<&'a str> {
        if self.cannot_load() {
            return Vec::new();
        }
        let mut missing = needed.to_vec();
        missing.retain(|name| !self.is_in_sysfs(name));
        if missing.is_empty() {
            return missing;
        }
        match self.loadable() {
            Some(loadable) => missing.retain(|name| lists(&loadable, name)),
            None => self.retain_without_function(&mut missing),
        }
        missing
    }

    fn path(&self, below_root: &str) -> PathBuf {
        self.root.join(below_root)
    }

    fn release(&self) -> Option<String> {
        let text = fs::read_to_string(self.path("proc/sys/kernel/osrelease")).ok()?;
        Some(text.trim().to_owned()).filter(|release| !release.is_empty())
    }

    /// Whether the kernel never loads modules.
    fn cannot_load(&self) -> bool {
        let sysctl = |name| fs::read_to_string(self.path("proc/sys/kernel").join(name));
        // The file is missing without CONFIG_MODULES, but also without /proc.
        let built_without = self.release().is_some()
            && self
                .path("proc/modules")
                .symlink_metadata()
                .is_err_and(is_not_found);
        let forbidden = sysctl("modules_disabled").is_ok_and(|text| text.trim() == "1");
        // request_module() gives up if it has no helper to start.
        let no_helper = sysctl("modprobe").is_ok_and(|path| path.trim().is_empty());
        built_without || forbidden || no_helper
    }

    /// Loaded modules have a directory there, and so do some that are built in.
    fn is_in_sysfs(&self, name: &str) -> bool {
        self.path("sys/module").join(name).is_dir()
    }

    /// The text of `modules.dep`, which names every module that can be loaded by name. A
    /// directory without `modules.builtin` beside it is not the kernel's own.
    fn loadable(&self) -> Option<String> {
        let release = self.release()?;
        ["lib/modules", "usr/lib/modules"].iter().find_map(|dir| {
            let dir = self.path(dir).join(&release);
            let complete = dir.join("modules.builtin").is_file();
            complete.then(|| fs::read_to_string(dir.join("modules.dep")).ok())?
        })
    }

    /// Leaves only the modules whose function the kernel does not have.
    fn retain_without_function(&self, missing: &mut Vec<&str>) {
        let Ok(symbols) = File::open(self.path("proc/kallsyms")) else {
            return;
        };
        let mut symbols = BufReader::with_capacity(64 * 1024, symbols);
        let mut line = String::new();
        while !missing.is_empty() && symbols.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            // Each line is `address type name [module]`.
            if let Some(symbol) = line.split_ascii_whitespace().nth(2) {
                missing.retain(|module| !FUNCTIONS.contains(&(module, symbol)));
            }
            line.clear();
        }
    }
}

/// Whether `modules.dep` (`path/to/name.ko[.xz]: what it depends on`) has this module.
fn lists(modules_dep: &str, name: &str) -> bool {
    modules_dep.lines().any(|line| {
        let path = line.split_once(':').map_or(line, |(path, _)| path);
        let file = path.rsplit('/').next().unwrap_or_default();
        let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
        // File names have hyphens or underscores, module names have underscores only.
        let underscored = |byte| if byte == b'-' { b'_' } else { byte };
        stem.bytes().map(underscored).eq(name.bytes())
    })
}

fn is_not_found(error: io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use crate::iptables;
    use crate::nft;

    use super::*;

    const RELEASE: &str = "6.1.0-test";
    const DEP: &str = "kernel/net/netfilter/nf_tables.ko.xz: kernel/net/netfilter/nfnetlink.ko.xz\n\
                       kernel/net/netfilter/nft-chain-nat.ko:\n";

    /// A tree of a kernel that loads modules, changed by these files (`None` removes one).
    fn tree(files: &[(&str, Option<&str>)]) -> (TempDir, Modules) {
        let dir = TempDir::new().unwrap();
        let standard = [
            ("proc/modules", Some("")),
            ("proc/sys/kernel/osrelease", Some("6.1.0-test\n")),
            ("proc/sys/kernel/modules_disabled", Some("0\n")),
            ("proc/sys/kernel/modprobe", Some("/sbin/modprobe\n")),
            ("sys/module/nf_conntrack/initstate", Some("live\n")),
        ];
        for (path, text) in standard.iter().chain(files) {
            let path = dir.path().join(path);
            match text {
                Some(text) => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, text).unwrap();
                }
                None => fs::remove_file(path).unwrap(),
            }
        }
        let modules = Modules::at(dir.path());
        (dir, modules)
    }

    fn check(files: &[(&str, Option<&str>)], would_load: &[&str]) {
        let needed = ["nf_tables", "nf_conntrack", "nft_chain_nat", "nft_ct"];
        let (_dir, modules) = tree(files);
        assert_eq!(modules.would_load(&needed), would_load, "{files:?}");
    }

    #[test]
    fn a_kernel_that_cannot_load_modules_loads_none() {
        check(&[("proc/modules", None)], &[]);
        check(&[("proc/sys/kernel/modules_disabled", Some("1\n"))], &[]);
        check(&[("proc/sys/kernel/modprobe", Some("\n"))], &[]);
    }

    #[test]
    fn what_can_be_loaded_and_is_not_there_would_be() {
        let dep = format!("lib/modules/{RELEASE}/modules.dep");
        let builtin = format!("lib/modules/{RELEASE}/modules.builtin");
        let files = [(dep.as_str(), Some(DEP)), (builtin.as_str(), Some(""))];
        check(&files, &["nf_tables", "nft_chain_nat"]);
        let usr = [
            dep.replace("lib/", "usr/lib/"),
            builtin.replace("lib/", "usr/lib/"),
        ];
        check(
            &[(&usr[0], Some(DEP)), (&usr[1], Some(""))],
            &["nf_tables", "nft_chain_nat"],
        );
    }

    #[test]
    fn without_the_module_directory_the_symbols_decide() {
        let kallsyms =
            "0 T nft_register_expr\n0 t nft_ct_get_init\t[nft_ct]\n0 d nft_nat_do_chai\n";
        check(&[("proc/kallsyms", Some(kallsyms))], &["nft_chain_nat"]);
    }

    #[test]
    fn what_cannot_be_told_would_be_loaded() {
        let all = ["nf_tables", "nft_chain_nat", "nft_ct"];
        check(&[], &all);
        check(&[("proc/kallsyms", Some(""))], &all);
        let dep = format!("lib/modules/{RELEASE}/modules.dep");
        check(&[(&dep, Some(""))], &all);
        let empty = TempDir::new().unwrap();
        assert_eq!(
            Modules::at(empty.path()).would_load(&all),
            all,
            "no /proc at all"
        );
        let (_dir, modules) = tree(&[("proc/kallsyms", Some("0 T nft_register_expr\n"))]);
        assert_eq!(modules.would_load(&["unheard_of"]), ["unheard_of"]);
    }

    #[test]
    fn every_module_of_the_tools_has_a_function() {
        for module in nft::MODULES.iter().chain(iptables::MODULES) {
            assert!(FUNCTIONS.iter().any(|(name, _)| name == module), "{module}");
        }
    }
}
