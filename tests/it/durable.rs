//! What is written survives a power cut: this program runs itself under strace, and what was synced stands in its trace.

#![expect(clippy::expect_used, clippy::panic, reason = "a test ends where its own tools fail")]

use std::fs;
use std::path::Path;
use std::process::Command;

use rotated::audit::AuditFile;
use rotated::config;
use rotated::destination::{Delivery, Destination, Expected};
use rotated::journal::SqliteJournal;
use rotated::rotation::mark::RotationId;
use rotated::rotation::time::Timestamp;
use rotated::secret::Secret;
use rotated::token::Expiry;
use rotated::vault::Vaults;
use uuid::Uuid;

/// Names the folder to the process that is traced.
const FOLDER: &str = "ROTATED_TEST_DURABLE";

/// Writes what must be durable.
fn write_everything(folder: &Path) {
    let text = format!(
        "[daemon]\ninstance = \"ops1\"\nstate_dir = \"{0}/var/state\"\n\
         [remote.lab]\nproduct = \"pve\"\nurls = [\"https://10.0.0.1\"]\nauth = {{ api_token = \"credential:lab\" }}\n\
         [job.ci]\nremote = \"lab\"\ntoken = \"ci@pve!deploy\"\nmax_age = \"90d\"\n\
         [[job.ci.destination]]\ntype = \"file\"\nformat = \"raw\"\npath = \"{0}/out/token\"\n",
        folder.display()
    );
    let parsed = config::parse(vec![("rotated.toml".into(), text)], "host");
    let settings = parsed.unwrap_or_else(|bad| panic!("{bad}"));
    let options = settings.jobs.values().next().and_then(|job| job.destinations.values().next()).expect("one");
    let destination = Destination::new(options.clone(), &Vaults::default()).expect("it is right");
    let delivery = Delivery {
        id: "ci@pve!deploy".parse().expect("a token"),
        secret: Secret::new("714ffbfd-7f27-4ba5-bb92-7ac59f7f7e50".into()),
        url: "https://pve.test:8006".into(),
        expires_at: Expiry::Never,
        rotated_at: Timestamp::from_seconds(1_800_000_000),
        job: "ci".parse().expect("a name"),
        rotation: RotationId::new(Uuid::from_u128(7)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // The second time it is there already, perhaps by a run that died before it had synced it.
    for _ in 0..2 {
        runtime.block_on(destination.publish(&delivery, &Expected::Anything)).expect("published");
    }
    drop(SqliteJournal::open(&settings.daemon.state_dir).expect("opens"));
    let mut audit = AuditFile::new(folder.join("audit/log"), settings.daemon.instance);
    audit.reach().expect("made");
    audit.write(b"{}\n").expect("written");
}

/// What one line of the trace did: `sync` of a path below the folder, or `rename` to a name.
fn deed(line: &str, folder: &Path) -> Option<String> {
    let (call, arguments) = line.split_once('(')?;
    let call = call.rsplit(' ').next()?;
    if call.starts_with("rename") {
        return Some(format!("rename to {}", Path::new(arguments.split('"').nth(3)?).file_name()?.to_str()?));
    }
    let path = arguments.split_once('<')?.1.split_once('>')?.0;
    let below = Path::new(path).strip_prefix(folder).ok()?.to_str()?;
    // The name of a file that is not moved in yet ends in something random.
    Some(format!("sync {}", below.split_inclusive(".rotated-").next()?))
}

#[test]
fn p1_what_is_written_is_synced_before_it_counts() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        write_everything(Path::new(&folder));
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().canonicalize().expect("there");
    for below in ["out", "var", "audit"] {
        fs::create_dir(path.join(below)).expect("made");
    }
    let trace = path.join("trace");
    let output = Command::new("strace")
        .args(["-f", "-qq", "-y", "-e", "signal=none", "-e", "trace=fsync,fdatasync,/^rename", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().expect("known"))
        .args(["--exact", "durable::p1_what_is_written_is_synced_before_it_counts"])
        .env(FOLDER, &path)
        .output()
        .expect("strace is there: .ci/run installs it");
    assert!(output.status.success(), "{output:?}");
    let trace = fs::read_to_string(trace).expect("there");
    let deeds = trace.lines().filter_map(|line| deed(line, &path));
    // What SQLite does inside its folder is its own business.
    let deeds: Vec<_> = deeds.filter(|deed| !deed.starts_with("sync var/state")).collect();
    assert_eq!(
        deeds,
        [
            "sync out/.token.rotated-",
            "rename to token",
            "sync out",
            "sync out",
            "sync var",
            "rename to journal.db",
            "sync audit",
            "sync audit/log",
        ],
        "{trace}"
    );
}
