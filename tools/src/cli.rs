//! What may be typed: every subcommand, option, default and example.
//!
//! This is a contract, scripts use it. Wrong use ends with exit code 2 (clap's own).

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ringspool_client::Position;

use crate::parse;

/// Where a node listens unless told otherwise.
const DEFAULT_SERVER: &str = "127.0.0.1:7400";

const EXAMPLES: &str = "\
Examples:
  ringspool quickstart                             see it work, no configuration
  ringspool serve --data-dir /var/lib/ringspool    run a node
  ringspool topic create events --partitions 12
  ringspool produce events access.log
  ringspool consume events --until-end | wc -l

Exit codes: 0 done, 1 failed, 2 wrong use.";

/// Ringspool: a distributed, persistent message queue.
#[derive(Debug, Parser)]
#[command(name = "ringspool", version, propagate_version = true, after_help = EXAMPLES)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every subcommand, before or after its name.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Servers to ask first; any of the cluster will do.
    #[arg(long, global = true, env = "RINGSPOOL_SERVER", default_value = DEFAULT_SERVER)]
    #[arg(value_name = "HOST:PORT[,HOST:PORT]...", value_delimiter = ',')]
    #[arg(value_parser = parse::server)]
    pub(crate) server: Vec<String>,
    // A flag, except behind `bench`, where a file may be named: `--json FILE`. Both must have one id
    // and one type, for clap carries the value of a global option up and down the command line.
    /// Print results as JSON instead of text.
    #[arg(id = "json", long = "json", global = true, num_args = 0, default_missing_value = "-")]
    pub(crate) json_to: Option<String>,
    /// Whether `json_to` is set: filled in by `command::run`.
    #[arg(skip)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(ServeArgs),
    Quickstart(QuickstartArgs),
    /// Create, list, describe, alter and delete topics
    #[command(subcommand, after_help = TOPIC_EXAMPLES)]
    Topic(TopicCommand),
    Produce(ProduceArgs),
    Consume(ConsumeArgs),
    Dump(DumpArgs),
    Doctor(DoctorArgs),
    /// Measure how fast a node is, and what the machine can do
    #[command(subcommand, after_help = BENCH_EXAMPLES)]
    Bench(BenchCommand),
}

const SERVE_EXAMPLES: &str = "\
Examples:
  ringspool serve
  ringspool serve --data-dir /var/lib/ringspool --listen 192.0.2.10:7400
  ringspool serve --config ringspool.toml --shards 4
  RUST_LOG=debug ringspool serve 2>node.log

Prints one line on standard output when it accepts requests:
  ready node=1 listen=127.0.0.1:7400 admin=127.0.0.1:7480 shards=2
Logs go to standard error (RUST_LOG sets what). SIGTERM or SIGINT stops it in good order and it
exits with 0; a second one ends it at once with 1. Nothing acknowledged is lost either way.";

/// Run a node
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Directory that holds everything the node keeps [default: ./ringspool-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address for clients [default: 127.0.0.1:7400]; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address for metrics and health [default: 127.0.0.1:7480]; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<SocketAddr>,
    /// Number of shards, one thread each [default: one per CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) shards: Option<u16>,
    /// Configuration in TOML; the options above override it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Also stop when standard input ends: how a parent process makes sure that no node outlives it
    #[arg(long, hide = true)]
    pub(crate) stop_at_stdin_end: bool,
}

const QUICKSTART_EXAMPLES: &str = "\
Examples:
  ringspool quickstart
  ringspool quickstart --input access.log --keep

Runs a node in a fresh directory on a free port, writes real text through it, kills the node with
SIGKILL half-way, restarts it, reads everything back, compares every byte, and tells how fast and
how safe that was.";

/// See the whole thing work, without any configuration
#[derive(Debug, Args)]
#[command(after_help = QUICKSTART_EXAMPLES)]
pub(crate) struct QuickstartArgs {
    /// Text to send, a record a line; by default the sources and docs found from here upward
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Keep the node's directory instead of removing it at the end
    #[arg(long)]
    pub(crate) keep: bool,
}

const TOPIC_EXAMPLES: &str = "\
Examples:
  ringspool topic create events --partitions 12 --set retention_ms=604800000
  ringspool topic list --json
  ringspool topic describe events
  ringspool topic alter events --set retention_bytes=10737418240
  ringspool topic delete events

Settings: retention_ms, retention_bytes (of each partition), segment_bytes, segment_ms,
record_bytes_max, batch_bytes_max.";

#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Create a topic
    #[command(after_help = TOPIC_EXAMPLES)]
    Create {
        /// Name: letters, digits, dot, underscore and hyphen
        name: String,
        /// Number of partitions
        #[arg(long, value_name = "N", default_value_t = 1)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        partitions: u32,
        /// Number of replicas
        #[arg(long, value_name = "R", default_value_t = 1)]
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        replicas: u16,
        /// A setting; may be given several times
        #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse::setting)]
        settings: Vec<(String, String)>,
    },
    /// List all topics
    #[command(after_help = TOPIC_EXAMPLES)]
    List,
    /// Show a topic's settings, and each partition's place and size
    #[command(after_help = TOPIC_EXAMPLES)]
    Describe {
        /// Name of the topic
        name: String,
    },
    /// Change settings of a topic
    #[command(after_help = TOPIC_EXAMPLES)]
    Alter {
        /// Name of the topic
        name: String,
        /// A setting; may be given several times
        #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse::setting)]
        #[arg(required = true)]
        settings: Vec<(String, String)>,
    },
    /// Delete a topic and all its records
    #[command(after_help = TOPIC_EXAMPLES)]
    Delete {
        /// Name of the topic
        name: String,
    },
}

/// When a write counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AcksArg {
    /// Not waited for: nothing is known to be stored
    None,
    /// On the leader's stable storage
    Leader,
    /// On the stable storage of a majority of the replicas
    Quorum,
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionArg {
    /// zstd, left out for batches where it does not pay
    Zstd,
    /// Not at all
    None,
}

const PRODUCE_EXAMPLES: &str = "\
Examples:
  ringspool produce events access.log
  tail -F access.log | ringspool produce events --linger-ms 50
  ringspool produce users users.tsv --key-separator '\\t'
  ringspool produce images photo.raw --whole-file --record-bytes-max 200MiB
  ringspool --json produce events access.log | jq .acked

A record is a line without its newline, of any bytes; an empty line is an empty record. With --json
the last line on standard output is always one object, also when the server dies or on Ctrl-C:
  {\"records\":N,\"bytes\":N,\"acked\":N,\"failed\":N,\"elapsed_s\":F}
It counts only what was acknowledged; with --acks none that is nothing. Exit code 1 if any failed.";

/// Send records, one a line
#[derive(Debug, Args)]
#[command(after_help = PRODUCE_EXAMPLES)]
pub(crate) struct ProduceArgs {
    /// Name of the topic
    pub(crate) topic: String,
    /// File to read; standard input if absent or -
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// When a record counts as done
    #[arg(long, value_enum, default_value_t = AcksArg::Quorum)]
    pub(crate) acks: AcksArg,
    /// How batches are compressed
    #[arg(long, value_enum, default_value_t = CompressionArg::Zstd)]
    pub(crate) compression: CompressionArg,
    /// Send everything to this partition [default: by the key's hash, in turn without key]
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// What ends the key at the start of a line; lines without it have no key
    #[arg(long, value_name = "S", value_parser = parse::separator, conflicts_with = "whole_file")]
    #[arg(allow_hyphen_values = true)]
    pub(crate) key_separator: Option<String>,
    /// Size of a batch before compression, at most 8 MiB [default: 1 MiB]
    #[arg(long, value_name = "N", value_parser = parse::bytes)]
    pub(crate) batch_bytes: Option<u64>,
    /// How long a batch waits to become full, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub(crate) linger_ms: u64,
    /// Longest record, at most 1 GiB [default: the topic's setting record_bytes_max]
    #[arg(long, value_name = "N", value_parser = parse::bytes)]
    pub(crate) record_bytes_max: Option<u64>,
    /// Seconds until a record that is not acknowledged counts as failed
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = parse::seconds)]
    pub(crate) timeout_s: f64,
    /// The whole file is one record
    #[arg(long)]
    pub(crate) whole_file: bool,
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// The value's bytes and a newline
    Value,
    /// One JSON object a line
    Json,
}

const CONSUME_EXAMPLES: &str = "\
Examples:
  ringspool consume events                         follow from the first record on
  ringspool consume events --from latest           only what comes from now on
  ringspool consume events --from 2026-01-31T12:00:00Z --until-end
  ringspool consume events --partition 0 --from 1200 --max 10 --format json

--from takes earliest, latest, an offset (a plain number, for each partition), an RFC 3339 time, or
@MILLISECONDS since 1970. --until-end stops where the partitions ended at the start. As JSON, a
record is {\"topic\",\"partition\",\"offset\",\"timestamp\",\"key\",\"value\",\"headers\"}; bytes that are not
UTF-8 are {\"base64\":\"...\"}, and a record without key has null. --json means --format json.";

/// Read records
#[derive(Debug, Args)]
#[command(after_help = CONSUME_EXAMPLES)]
pub(crate) struct ConsumeArgs {
    /// Name of the topic
    pub(crate) topic: String,
    /// Only this partition; may be given several times
    #[arg(long, value_name = "N")]
    pub(crate) partition: Vec<u32>,
    /// Where to start
    #[arg(long, default_value = "earliest", value_parser = parse::position)]
    #[arg(value_name = "earliest|latest|OFFSET|TIME", allow_hyphen_values = true)]
    pub(crate) from: Position,
    /// Stop after this many records
    #[arg(long, value_name = "N")]
    pub(crate) max: Option<u64>,
    /// Stop at the end there is now
    #[arg(long)]
    pub(crate) until_end: bool,
    /// How records are printed [default: value]
    #[arg(long, value_enum)]
    pub(crate) format: Option<FormatArg>,
}

const DUMP_EXAMPLES: &str = "\
Examples:
  ringspool dump ringspool-data/topic/1/0/00000000000000000000.log
  ringspool dump ringspool-data/topic/1/0/00000000000000000000.idx
  ringspool dump ringspool-data/wal/shard-000/00000001.wal --json
  ringspool dump ringspool-data/vnode/00017/checkpoint

Reads only, also while the node runs. A damaged place is told with file and position, and the exit
code is then 1.";

/// Show what a segment, index, WAL file or checkpoint holds
#[derive(Debug, Args)]
#[command(after_help = DUMP_EXAMPLES)]
pub(crate) struct DumpArgs {
    /// File of a node's data directory
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

const DOCTOR_EXAMPLES: &str = "\
Examples:
  ringspool doctor
  ringspool doctor --data-dir /var/lib/ringspool --json

Exit code 1 if anything would keep a node from working; each line says how to mend it.";

/// Check whether this machine is fit for a node
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Directory the node would use; it need not exist yet
    #[arg(long, value_name = "DIR", default_value = "./ringspool-data")]
    pub(crate) data_dir: PathBuf,
}

const BENCH_EXAMPLES: &str = "\
Examples:
  ringspool bench produce --embedded                     a node of its own, started and stopped
  ringspool bench produce --embedded --batch 1000 --duration 30 --json result.json
  ringspool bench produce --server 192.0.2.10:7400 --producers 4 --partitions 12 --in-flight 5
  ringspool bench consume --embedded --cold --count 5000000
  ringspool bench device --data-dir /var/lib/ringspool

Closed loop: a request is sent when another one was acknowledged. Rates are bytes of record values
over the wall time of the whole run (1 MB = 10^6 bytes). consume checks every record: number, order
and content. Ctrl-C ends a run early; its report is still written. Exit code 1 if anything failed,
or the run was interrupted.";

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Write records, and measure how fast they are acknowledged
    #[command(after_help = BENCH_EXAMPLES)]
    Produce(BenchLoadArgs),
    /// Read everything in the topic from its start and check it; write it first if it is not there
    #[command(after_help = BENCH_EXAMPLES)]
    Consume {
        #[command(flatten)]
        load: BenchLoadArgs,
        /// Restart the node before reading, so that everything comes from disk
        #[arg(long, requires = "embedded")]
        cold: bool,
    },
    /// Measure the disk and the loopback without a node
    #[command(after_help = BENCH_EXAMPLES)]
    Device(BenchDeviceArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BenchLoadArgs {
    /// Start a node in a fresh directory below TMPDIR and stop it at the end
    #[arg(long)]
    pub(crate) embedded: bool,
    /// Topic to use; made if it does not exist
    #[arg(long, value_name = "NAME", default_value = "ringspool-bench")]
    pub(crate) topic: String,
    /// Threads that write, each with connections of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) producers: u32,
    /// Threads that read, each with partitions and connections of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) consumers: u32,
    /// Partitions of the topic [default: as it is; 1 if it is made]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) partitions: Option<u32>,
    /// Size of each record's value, at least 24
    #[arg(long, value_name = "N", default_value = "1000", value_parser = parse::bytes)]
    pub(crate) record_bytes: u64,
    /// Records in each request
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) batch: u32,
    /// Requests that each producer keeps in flight
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) in_flight: u32,
    /// When a request counts as acknowledged
    #[arg(long, value_enum, default_value_t = AcksArg::Quorum)]
    pub(crate) acks: AcksArg,
    /// Run so many seconds, after one more that does not count [default for produce: 10]
    #[arg(long, value_name = "S", value_parser = parse::seconds, conflicts_with = "count")]
    pub(crate) duration: Option<f64>,
    /// Run so many records, all of which count [default for consume: what is there, or 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Write the report as JSON to a file as well; - prints it in place of the table
    #[arg(id = "json", long = "json", value_name = "FILE|-", num_args = 1)]
    pub(crate) json: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BenchDeviceArgs {
    /// Directory on the device; a file of up to 1 GiB is made there and removed
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Write the report as JSON to a file as well; - prints it in place of the table
    #[arg(id = "json", long = "json", value_name = "FILE|-", num_args = 1)]
    pub(crate) json: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_subcommand() {
        for line in ["--json --server a:1,b:2 topic list", "topic list --server a:1,b:2 --json"] {
            let words = std::iter::once("ringspool").chain(line.split(' '));
            let cli = Cli::try_parse_from(words).unwrap();
            assert_eq!(cli.global.json_to.as_deref(), Some("-"), "{line}");
            assert_eq!(cli.global.server, ["a:1", "b:2"], "{line}");
        }
    }

    #[test]
    fn bench_takes_a_file_where_other_commands_have_a_flag() {
        for (line, expected) in [
            ("bench produce", None),
            ("bench produce --json out.json --batch 7", Some("out.json")),
            ("bench produce --json=out.json --batch 7", Some("out.json")),
            ("bench produce --json - --batch 7", Some("-")),
            ("--json bench produce --batch 7", Some("-")),
        ] {
            let words = std::iter::once("ringspool").chain(line.split(' '));
            let cli = Cli::try_parse_from(words).unwrap();
            let Command::Bench(BenchCommand::Produce(args)) = cli.command else { panic!("{line}") };
            assert_eq!(args.json.as_deref(), expected, "{line}");
            assert_eq!(args.batch, if line == "bench produce" { 100 } else { 7 }, "{line}");
        }
    }

    #[test]
    fn every_subcommand_has_examples() {
        fn check(command: &clap::Command, path: &str) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:"), "{path} --help has no examples");
            for inner in command.get_subcommands() {
                check(inner, &format!("{path} {}", inner.get_name()));
            }
        }
        check(&Cli::command(), "ringspool");
    }

    #[test]
    fn wrong_use_has_exit_code_two() {
        for line in [
            "",
            "nonsense",
            "topic",
            "topic create",
            "topic create t --partitions 0",
            "topic create t --set x",
            "topic alter t",
            "produce",
            "produce t --acks some",
            "produce t --whole-file --key-separator x",
            "consume t --from yesterday",
            "serve --shards 0",
            "serve --listen nowhere",
            "topic list --server nowhere",
            "bench",
            "bench produce --json",
            "bench produce --count 1 --duration 1",
            "bench produce --cold",
            "bench consume --cold",
            "bench device",
        ] {
            let words = std::iter::once("ringspool").chain(line.split_whitespace());
            let error = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
