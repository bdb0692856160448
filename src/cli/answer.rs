//! Runs a command of `rotate` and prints what came of it.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use super::check;
use super::client::{Answer, Client};
use super::commands::{
    ClientArgs, Command, HistoryArgs, NotifyArgs, NotifyCommand, NowArgs, OneNotifier, PauseArgs, Shell,
};
use super::failure::{ClientError, EXIT_FAILED, EXIT_USAGE};
use super::now::{self, Shown, Waited};
use super::request::Request;
use super::view::{doctor, history, job, plan, status, text, times, tokens};
use crate::protocol::{Accepted, Diagnosis, History, PauseRequest, PlanView, Status, Tokens, Verdict};
use crate::rotation::event::Order;
use crate::token::JobName;

/// Runs it: 0 done, 1 failed, 2 usage or config, 3 the daemon is not there.
pub fn run(args: ClientArgs) -> ExitCode {
    let output = if args.json { Output::Json } else { Output::Human };
    let asked = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asking = Asking { client: Client::new(&args.socket)?, output };
        runtime.block_on(asking.answer(args.command))
    };
    ended(asked(), output)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Human,
    Json,
}

/// Why a command did not end with what the daemon said.
enum Failure {
    Client(ClientError),
    /// What was typed is wrong.
    Usage(String),
    /// It could not be printed.
    Print(io::Error),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Print(error)
    }
}

fn ended(result: Result<ExitCode>, output: Output) -> ExitCode {
    let (code, text) = match result {
        Ok(code) => return code,
        Err(Failure::Client(error)) => {
            if output == Output::Json {
                let _ = print(&error.as_json());
            }
            (error.exit_code(), error.to_string())
        }
        Err(Failure::Usage(text)) => (EXIT_USAGE, text),
        Err(Failure::Print(error)) => (EXIT_FAILED, format!("cannot print: {error}")),
    };
    // Nobody can be told that there was nobody to tell.
    let _ = writeln!(anstream::stderr(), "{text}");
    ExitCode::from(code)
}

struct Asking {
    client: Client,
    output: Output,
}

type Result<T> = std::result::Result<T, Failure>;

impl Asking {
    async fn answer(&self, command: Command) -> Result<ExitCode> {
        match command {
            Command::Now(args) => self.now(&args).await,
            Command::Status(which) => self.status(which.job).await,
            Command::Plan(which) => self.plan(which.job).await,
            Command::History(args) => self.history(args).await,
            Command::Tokens => {
                self.page(&Request::Tokens, |all: &Tokens| tokens::page(all, times::now(), text::terminal_width()))
                    .await
            }
            Command::Retire(which) => self.order(Order::Retire, which.job).await,
            Command::Retry(which) => self.order(Order::Retry, which.job).await,
            Command::Abandon(which) => self.order(Order::Abandon, which.job).await,
            Command::Undo(which) => self.order(Order::Undo, which.job).await,
            Command::Adopt(which) => self.order(Order::Adopt, which.job).await,
            Command::Pause(args) => self.pause(args).await,
            Command::Resume(which) => self.resume(which.job).await,
            Command::Doctor => self.doctor().await,
            Command::DropIn => self.drop_in().await,
            Command::Reload => self.said(&Request::Reload, "the config on disk is in force").await,
            Command::Notify(NotifyArgs { command: NotifyCommand::Test(OneNotifier { notifier }) }) => {
                let text =
                    format!("the server of {notifier} has taken the test; see whether it arrived where people read");
                self.said(&Request::NotifyTest(notifier), &text).await
            }
            Command::Check(args) => {
                let output = match self.output {
                    Output::Human => check::Output::Human,
                    Output::Json => check::Output::Json,
                };
                Ok(check::run(&args.files, output, check::colour()))
            }
            Command::Completions(wanted) => {
                print(&completions(wanted.shell))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    async fn now(&self, args: &NowArgs) -> Result<ExitCode> {
        if !args.wait {
            let answer = now::ask(&self.client, args).await?;
            let text = |accepted: &Accepted| taken_up(&accepted.jobs);
            return self.show(&answer, text);
        }
        let shown = match self.output {
            Output::Json => Shown::Json,
            Output::Human => Shown::for_people(),
        };
        Ok(match now::wait(&self.client, args, shown).await? {
            Waited::Well => ExitCode::SUCCESS,
            Waited::Failed(_) | Waited::Left => ExitCode::FAILURE,
        })
    }

    async fn status(&self, job: Option<JobName>) -> Result<ExitCode> {
        let Some(name) = job else {
            return self.page(&Request::Status(None), |all: &Status| status::page(all, text::terminal_width())).await;
        };
        let text = |all: &Status| {
            all.jobs.iter().map(|one| job::block(all, one, text::terminal_width())).collect::<Vec<_>>().join("\n")
        };
        self.page(&Request::Status(Some(name)), text).await
    }

    /// Of all jobs one after the other: each is a look at a remote.
    async fn plan(&self, job: Option<JobName>) -> Result<ExitCode> {
        if let Some(job) = job {
            return self.page(&Request::Plan(job), |view: &PlanView| plan::block(view, text::terminal_width())).await;
        }
        let all: Status = self.client.ask(&Request::Status(None)).await?.read()?;
        let mut texts = Vec::new();
        for job in all.jobs.into_iter().filter_map(|job| job.job) {
            let answer = self.client.ask(&Request::Plan(job)).await?;
            match self.output {
                Output::Json => texts.push(answer.text),
                Output::Human => texts.push(plan::block(&answer.read()?, text::terminal_width())),
            }
        }
        match self.output {
            Output::Json => print(&format!("[{}]", texts.join(",")))?,
            Output::Human => print(&texts.join("\n"))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn history(&self, args: HistoryArgs) -> Result<ExitCode> {
        let Some(job) = args.job else { return Err(self.which_history().await?) };
        let request = Request::History { job, limit: args.limit };
        self.page(&request, |history: &History| history::page(history, text::terminal_width())).await
    }

    /// A history is that of one job: which ones there are.
    async fn which_history(&self) -> Result<Failure> {
        let all: Status = self.client.ask(&Request::Status(None)).await?.read()?;
        let names: Vec<_> = all.jobs.iter().filter_map(|job| Some(job.job.as_ref()?.as_str())).collect();
        let list = text::wrapped("  jobs: ", &names.join(", "), text::terminal_width());
        Ok(Failure::Usage(format!(
            "whose history? `rotate history JOB`; `rotate status` has the last rotation of each\n{list}"
        )))
    }

    async fn order(&self, order: Order, job: JobName) -> Result<ExitCode> {
        let then = format!("{} {job}: taken up; `rotate status {job}` tells what comes of it", order.as_str());
        self.said(&Request::Order(order, job), &then).await
    }

    async fn pause(&self, args: PauseArgs) -> Result<ExitCode> {
        let now = times::now();
        let until = args.until.map(|until| until.moment(now)).transpose();
        let until = until.map_err(|error| Failure::Usage(format!("--until: {error}")))?.map(|at| at.to_string());
        let whom = args.job.as_ref().map_or("every job", |job| job.as_str());
        let resume = args.job.as_ref().map_or_else(String::new, |job| format!(" {job}"));
        let end = match &until {
            Some(at) => format!("until {}, or `rotate resume{resume}`", times::until(now, at).unwrap_or_default()),
            None => format!("until `rotate resume{resume}`"),
        };
        let said = format!("paused {whom} {end}");
        self.said(&Request::Pause(PauseRequest { job: args.job, until }), &said).await
    }

    async fn resume(&self, job: Option<JobName>) -> Result<ExitCode> {
        let whom = job.as_ref().map_or_else(|| "every job".to_owned(), ToString::to_string);
        let answer = self.client.ask(&Request::Resume(PauseRequest { job, until: None })).await?;
        self.show(&answer, |resumed: &Accepted| {
            if resumed.jobs.is_empty() { "no job was paused".to_owned() } else { format!("resumed {whom}") }
        })
    }

    async fn doctor(&self) -> Result<ExitCode> {
        let answer = self.client.ask(&Request::Doctor).await?;
        let diagnosis: Diagnosis = answer.read()?;
        self.show(&answer, |all: &Diagnosis| doctor::page(all, text::terminal_width()))?;
        let failed = diagnosis.checks.iter().any(|check| check.verdict == Verdict::Failed);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// The daemon sends the text itself; as JSON it becomes `{"drop_in":…}`.
    async fn drop_in(&self) -> Result<ExitCode> {
        let answer = self.client.ask(&Request::DropIn).await?;
        match self.output {
            Output::Json => print(&serde_json::json!({ "drop_in": answer.text }).to_string())?,
            Output::Human => print(&answer.text)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// An order of which there is no more to say than that it was taken.
    async fn said(&self, request: &Request, text: &str) -> Result<ExitCode> {
        let answer = self.client.ask(request).await?;
        match self.output {
            Output::Json => print(&answer.text)?,
            Output::Human => print(text)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn page<T: serde::de::DeserializeOwned>(
        &self,
        request: &Request,
        text: impl Fn(&T) -> String,
    ) -> Result<ExitCode> {
        let answer = self.client.ask(request).await?;
        self.show(&answer, text)
    }

    fn show<T: serde::de::DeserializeOwned>(&self, answer: &Answer, text: impl Fn(&T) -> String) -> Result<ExitCode> {
        match self.output {
            Output::Json => print(&answer.text)?,
            Output::Human => print(&text(&answer.read()?))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn taken_up(jobs: &[JobName]) -> String {
    let names: Vec<_> = jobs.iter().map(JobName::as_str).collect();
    let follow = match names.as_slice() {
        [one] => format!("`rotate status {one}`"),
        _ => "`rotate status`".to_owned(),
    };
    let list = text::wrapped("taken up: ", &names.join(", "), text::terminal_width());
    format!("{list}\nfollow with {follow}; `--wait` shows each step\n")
}

fn completions(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut ClientArgs::command(), "rotate", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Prints the text with one line break at its end. Whoever closes a pipe has seen enough: that is not an error.
fn print(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    match writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
