//! A config of many jobs.

use std::fmt::Write;
use std::path::Path;

/// Different calendars among them.
const SCHEDULES: usize = 50;

/// Every job has its own token and file. All is below `folder`; nobody listens at the remote's address.
pub(crate) fn config(count: usize, folder: &Path) -> anyhow::Result<String> {
    let folder = folder.display();
    let mut text = format!(
        "[daemon]\ninstance = \"bench\"\nstate_dir = \"{folder}/state\"\nsocket = \"{folder}/socket\"\n\
         [remote.lab]\nproduct = \"pve\"\nurls = [\"https://127.0.0.1:9\"]\nfingerprints = [\"{}\"]\n\
         auth = {{ api_token = \"file:{folder}/login\" }}\n[defaults]\ntimezone = \"Europe/Vienna\"\n",
        ["AB"; 32].join(":")
    );
    for n in 0..count {
        let (minute, hour) = (n % SCHEDULES, 2 + n % SCHEDULES % 3);
        write!(
            text,
            "[job.job-{n}]\nremote = \"lab\"\ntoken = \"ci@pve!token-{n}\"\nschedule = \"{minute} {hour} 1 */3 *\"\n\
             jitter = \"30m\"\nwindow = \"Mon-Fri 02:00-05:00\"\nexpire = \"200d\"\n\
             destination = [{{ type = \"file\", path = \"/srv/secrets/job-{n}.env\", format = \"env\" }}]\n",
        )?;
    }
    Ok(text)
}
