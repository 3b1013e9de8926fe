//! The program: reads its settings, starts the log, and serves.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use trunkline::api::declared;
use trunkline::config::{self, Config, ConfigErrors, OwnPlaces};
use trunkline::net::shortage::{System, shortages};
use trunkline::{control, telemetry};

/// A call is some dozens of allocations of a few hundred bytes that live for half a minute: glibc's
/// arenas grow and shrink with every one of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for a wrong config or command line, as clap's own.
const EXIT_USAGE: u8 = 2;

/// Self-hosted voice connector: a SIP trunking gateway with the Amazon Chime Voice Connector API.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Carry calls (also without any command).
    Serve {
        /// The config file; without one, everything is on loopback with a development key.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Check a config file, with the files of declared resources that it names, and say what it means.
    Check {
        /// The config file.
        file: PathBuf,
    },
    /// Write what an account has as a file of declared resources, to standard output. It holds the hashes of SIP
    /// passwords.
    Export {
        /// The config file; it says where the store is.
        #[arg(long)]
        config: Option<PathBuf>,
        /// The AWS account id.
        account: String,
    },
    /// Explain what would happen to a call: every check, then every place it would be sent to, in order.
    Route {
        /// The config file; it says where the store is.
        #[arg(long)]
        config: Option<PathBuf>,
        #[command(flatten)]
        question: control::route::Question,
    },
    /// Print the OpenAPI description of the API.
    Openapi,
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    match command.unwrap_or(Command::Serve { config: None }) {
        Command::Serve { config } => serve(config.as_deref()),
        Command::Check { file } => check(&file),
        Command::Export { config, account } => export(config.as_deref(), &account),
        Command::Route { config, question } => route(config.as_deref(), &question),
        Command::Openapi => describe(),
    }
}

fn serve(file: Option<&Path>) -> ExitCode {
    let config = match file.map_or_else(|| Ok(Config::default_for_start()), read) {
        Ok(config) => config,
        Err(errors) => return refuse(&errors),
    };
    telemetry::init(config.log.level, config.log.format);
    for key in config
        .api
        .access_keys
        .iter()
        .filter(|key| key.is_development_key())
    {
        tracing::warn!(
            id = key.id,
            "this access key is AWS's published example: for development only"
        );
    }
    match control::serve::serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The config, with every certificate that it names looked at.
fn read(file: &Path) -> Result<Config, ConfigErrors> {
    config::load_with_files(file, trunkline::net::tls::file_fault)
}

fn check(file: &Path) -> ExitCode {
    let config = match read(file) {
        Ok(config) => config,
        Err(errors) => return refuse(&errors),
    };
    let declared = match declared::read(&config.declared.files, &OwnPlaces::of(&config.sip)) {
        Ok(declared) => declared,
        Err(errors) => return refuse(&errors),
    };
    let mut text = format!("{}: ok\n{}\n", file.display(), config.summary());
    // As this machine is.
    for shortage in shortages(&config, &System::look()) {
        text += &format!("warning: {shortage}\n");
    }
    for connector in declared
        .encrypted_connectors()
        .filter(|_| !config.sip.has_tls())
    {
        text += &format!(
            "warning: voice connector {connector} requires encryption, and its calls are refused: no listener has TLS; \
             add a [[sip.listener]] with transport = \"tls\"\n"
        );
    }
    print(&text)
}

fn export(file: Option<&Path>, account: &str) -> ExitCode {
    let config = match file.map_or_else(|| Ok(Config::default_for_start()), read) {
        Ok(config) => config,
        Err(errors) => return refuse(&errors),
    };
    match control::declared::export(&config, account) {
        Ok(text) => print(&text),
        Err(error) => {
            refuse(&error);
            ExitCode::FAILURE
        }
    }
}

fn route(file: Option<&Path>, question: &control::route::Question) -> ExitCode {
    let config = match file.map_or_else(|| Ok(Config::default_for_start()), read) {
        Ok(config) => config,
        Err(errors) => return refuse(&errors),
    };
    match control::route::route(config, question) {
        Ok(text) => print(&text),
        Err(error) => refuse(&error),
    }
}

fn describe() -> ExitCode {
    match trunkline::api::openapi() {
        Ok(description) => print(&format!("{description}\n")),
        Err(fault) => {
            refuse(&fault);
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_closed) => ExitCode::FAILURE,
    }
}

fn refuse(errors: &dyn std::fmt::Display) -> ExitCode {
    // A closed standard error leaves the exit code to tell.
    let _closed = writeln!(io::stderr(), "{errors}");
    ExitCode::from(EXIT_USAGE)
}
