//! The table of probes: the name of each, the question that it answers, and the capabilities that the
//! kernel may ask for. The names are part of the contract. How each is tried is in `probes`.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;
use shared::capability::Capability;

macro_rules! probes {
    ($($(#[$question:meta])* $probe:ident = $name:literal, [$($capability:ident),*];)*) => {
        /// A probe. The order is that of the report: privileges first, then BPF, the network, files.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
        #[value(rename_all = "snake_case")]
        #[serde(rename_all = "snake_case")]
        pub enum Name { $($(#[$question])* $probe,)* }

        impl Name {
            /// The name on the command line and in the report.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$probe => $name,)* }
            }

            /// What the kernel may ask for before it answers (5.8; older kernels ask for
            /// `CAP_SYS_ADMIN` where these name `CAP_BPF` and `CAP_PERFMON`).
            #[must_use]
            pub fn capabilities(self) -> &'static [Capability] {
                match self { $(Self::$probe => &[$(Capability::$capability),*],)* }
            }
        }
    };
}

probes! {
    /// Is `CAP_BPF`, or `CAP_SYS_ADMIN` in its place, effective?
    CapBpf = "cap_bpf", [CAP_BPF];
    /// Is `CAP_PERFMON`, or `CAP_SYS_ADMIN` in its place, effective?
    CapPerfmon = "cap_perfmon", [CAP_PERFMON];
    /// Is `CAP_NET_ADMIN` effective?
    CapNetAdmin = "cap_net_admin", [CAP_NET_ADMIN];
    /// Is `CAP_SYS_ADMIN` effective?
    CapSysAdmin = "cap_sys_admin", [CAP_SYS_ADMIN];
    /// Does kernel lockdown allow reading kernel memory?
    Lockdown = "lockdown", [];
    /// Can BPF maps be created whatever `RLIMIT_MEMLOCK` is?
    Memlock = "memlock", [CAP_BPF];
    /// Does bpf(2) create an array map?
    BpfSyscall = "bpf_syscall", [CAP_BPF];
    /// Does a mapped array map show what bpf(2) stored?
    MapArrayMmapable = "map_array_mmapable", [CAP_BPF];
    /// Does a hash map return what was stored?
    MapHash = "map_hash", [CAP_BPF];
    /// Does a program's record come out of a BPF ring buffer?
    Ringbuf = "ringbuf", [CAP_BPF, CAP_PERFMON];
    /// Does BPF_PROG_TEST_RUN run a raw tracepoint program?
    ProgTestRun = "prog_test_run", [CAP_BPF, CAP_PERFMON];
    /// Can a program iterate over a map?
    ForEachMapElem = "for_each_map_elem", [CAP_BPF, CAP_PERFMON];
    /// Can a program read kernel memory?
    ProbeReadKernel = "probe_read_kernel", [CAP_BPF, CAP_PERFMON];
    /// Does a program on raw tracepoint net_dev_queue see our packet?
    RawTracepointNetDevQueue = "raw_tracepoint_net_dev_queue", [CAP_BPF, CAP_PERFMON];
    /// Does a program on kprobe udp_sendmsg see our packet?
    Kprobe = "kprobe", [CAP_BPF, CAP_PERFMON];
    /// Does a program on kprobe __nf_conntrack_confirm see our connection?
    KprobeNfConntrackConfirm = "kprobe_nf_conntrack_confirm", [CAP_BPF, CAP_PERFMON];
    /// Does a program on fentry udp_sendmsg see our packet?
    Fentry = "fentry", [CAP_BPF, CAP_PERFMON];
    /// Does the kernel's BTF describe struct nf_conn?
    BtfVmlinux = "btf_vmlinux", [];
    /// Can a network namespace be created, with loopback up?
    Netns = "netns", [CAP_SYS_ADMIN];
    /// Can a thread move between network namespaces?
    Setns = "setns", [CAP_SYS_ADMIN];
    /// Does the kernel answer RTM_GETROUTE?
    Rtnetlink = "rtnetlink", [];
    /// Do nf_tables rules turn connection tracking on?
    NftCt = "nft_ct", [CAP_NET_ADMIN];
    /// Is our connection tracked?
    NfConntrack = "nf_conntrack", [CAP_NET_ADMIN];
    /// Can a rule set a connection's zone?
    CtZones = "ct_zones", [CAP_NET_ADMIN];
    /// Can a rule set a connection's mark?
    CtMark = "ct_mark", [CAP_NET_ADMIN];
    /// Do nf_tables rules rewrite a connection's destination?
    NftNat = "nft_nat", [CAP_NET_ADMIN];
    /// Do legacy iptables rules turn connection tracking and NAT on?
    IptablesCt = "iptables_ct", [CAP_NET_ADMIN];
    /// Does ctnetlink answer a request?
    Ctnetlink = "ctnetlink", [CAP_NET_ADMIN];
    /// Does ctnetlink report a new connection?
    CtnetlinkEvents = "ctnetlink_events", [CAP_NET_ADMIN];
    /// Is a BPF file system mounted at /sys/fs/bpf, and may we write to it?
    Bpffs = "bpffs", [];
    /// Can a file in /dev/shm be created, allocated and mapped?
    Shm = "shm", [];
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_typed_as_it_is_printed() {
        for &name in Name::value_variants() {
            let typed = name.to_possible_value().expect("no name is hidden");
            assert_eq!(typed.get_name(), name.as_str());
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(json, format!("\"{name}\""));
        }
    }

    #[test]
    fn the_readme_lists_every_probe() {
        let readme = include_str!("../README.md");
        for name in Name::value_variants() {
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }
}
