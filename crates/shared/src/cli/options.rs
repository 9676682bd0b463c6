//! The options that every tool has.

/// Options of every tool.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Print more on stderr; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "General")]
    pub verbose: u8,
    /// Print only errors on stderr
    #[arg(short, long, conflicts_with = "verbose", help_heading = "General")]
    pub quiet: bool,
    /// Allow what changes the system: let the kernel load a module, mount bpffs
    #[arg(long, help_heading = "General")]
    pub allow_system_changes: bool,
    /// Print every setting, its value and its origin, then exit
    #[arg(long, help_heading = "General")]
    pub print_config: bool,
}
