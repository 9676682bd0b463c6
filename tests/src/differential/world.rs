//! The namespaces of `tests/scenes/differential_world.sh` as a value: up while it lives, gone when it is dropped; and the
//! calling thread's visits to them.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::ensure;
use harness::Running;
use harness::conntrack_tools::conntrack;
use harness::in_namespace;
use harness::run_with_input;
use harness::unique;
use netlink::netns::Namespace;

/// conntrack-tools' own program: never Sextant's, whatever `PATH` says.
pub const TOOLS: &str = "/usr/sbin/conntrack";

/// To make the world, which takes many processes: emulated processors are slow.
const LONG: Duration = Duration::from_secs(180);

/// A network namespace of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    Client,
    /// Has an address of the client, on another interface of the router.
    Client2,
    Router,
    Server,
    Pod1,
    Pod2,
}

impl Space {
    const ALL: [Self; 6] = [
        Self::Client,
        Self::Client2,
        Self::Router,
        Self::Server,
        Self::Pod1,
        Self::Pod2,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Client2 => "client2",
            Self::Router => "router",
            Self::Server => "server",
            Self::Pod1 => "pod1",
            Self::Pod2 => "pod2",
        }
    }
}

/// What a kernel may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A bridge whose packets pass the rules of IPv4.
    Bridge,
    /// The helper for TFTP.
    Tftp,
    /// SYNPROXY.
    Synproxy,
}

impl Need {
    /// Its name, also in the script's output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Tftp => "tftp",
            Self::Synproxy => "synproxy",
        }
    }
}

/// The namespaces.
pub struct World {
    prefix: String,
    script: PathBuf,
    spaces: Vec<Namespace>,
    lacks: String,
    /// After this, an unused connection of the router has expired.
    pub expiry: Duration,
}

impl World {
    /// Builds it with the script of this folder.
    pub fn up(scenes: &Path, expiry_s: u32) -> anyhow::Result<Self> {
        let mut world = Self {
            prefix: unique(),
            script: scenes.join("differential_world.sh"),
            spaces: Vec::new(),
            lacks: String::new(),
            expiry: Duration::from_secs(expiry_s.into()),
        };
        let mut up = Command::new("sh");
        up.arg(&world.script)
            .args(["up", &world.prefix, &expiry_s.to_string()]);
        let (status, finished) = Running::start(up.stdin(Stdio::null())).finish_within(LONG);
        ensure!(
            status.is_some_and(|status| status.success()),
            "{up:?}: {}",
            finished.err
        );
        world.lacks = finished.out;
        for space in Space::ALL {
            let path = Path::new("/run/netns").join(world.name(space));
            world.spaces.push(Namespace::open(&path)?);
        }
        Ok(world)
    }

    /// The name of a namespace.
    pub fn name(&self, space: Space) -> String {
        format!("{}-{}", self.prefix, space.name())
    }

    /// Its inode.
    pub fn inode(&self, space: Space) -> u32 {
        self.spaces[space as usize].inum()
    }

    /// The inodes of all but the router's.
    pub fn others(&self) -> Vec<u32> {
        let router = self.inode(Space::Router);
        let inodes = self.spaces.iter().map(Namespace::inum);
        inodes.filter(|inode| *inode != router).collect()
    }

    /// Does this kernel have it?
    pub fn has(&self, need: Need) -> bool {
        let line = format!("lacks {}", need.name());
        !self.lacks.lines().any(|lack| lack == line)
    }

    /// Does `work` in a namespace, by the calling thread.
    pub fn at<T>(&self, space: Space, work: impl FnOnce() -> io::Result<T>) -> anyhow::Result<T> {
        let visit = self.spaces[space as usize].visit()?;
        let done = work();
        visit.leave()?;
        done.with_context(|| format!("in {}", space.name()))
    }

    /// conntrack-tools in the router's namespace; what it printed.
    pub fn tools(&self, args: &[&str]) -> Vec<String> {
        conntrack(Some(&self.name(Space::Router)), args)
    }

    /// Deletes connections of the router by hand. One may have expired meanwhile, so it is no error if there is none.
    pub fn delete(&self, args: &[&str]) {
        let mut tools = in_namespace(&self.name(Space::Router), TOOLS);
        let deleted = harness::run(tools.arg("-D").args(args));
        assert!(matches!(deleted.code, 0 | 1), "{}", deleted.err);
    }

    /// Runs these commands of nftables in the router's namespace.
    pub fn rules(&self, commands: &str) {
        let mut nft = in_namespace(&self.name(Space::Router), "nft");
        let _ = run_with_input(nft.args(["-f", "-"]), commands.as_bytes()).success();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let mut down = Command::new("sh");
        let _ = down.arg(&self.script).args(["down", &self.prefix]).status();
    }
}
