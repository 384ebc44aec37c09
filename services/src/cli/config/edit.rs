//! `p2p config edit`: the configuration in an editor.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use p2p_runtime::config::{ConfigDocument, ConfigError};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use super::{
    super::{
        Invocation, child,
        error::CliError,
        output::{self, Format},
        password::PasswordArgs,
    },
    access::Access,
};

/// Opens the configuration in an editor: $VISUAL, $EDITOR or vi
///
/// What comes back is checked, and what has changed is shown. Where it cannot be used, nothing is stored, and the text is kept in a file
/// that only you can read, to go on with. While it is edited, the text lies in memory ($XDG_RUNTIME_DIR or /dev/shm) where the system has
/// such a folder. The editor does not get the store's password, or a join token, by its environment.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} config edit
  EDITOR=nano {program} config edit")]
pub(super) struct EditArgs {
    /// Go on with this text, instead of what is stored
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,

    #[command(flatten)]
    password: PasswordArgs,
}

/// Edits it.
pub(super) async fn run(args: EditArgs, invocation: &Invocation) -> Result<(), CliError> {
    let access = Access::new(&args.password, invocation)?;
    let was = access.read().await?;
    let begin = match &args.from {
        Some(path) => {
            fs::read_to_string(path).map_err(|source| CliError::Unreadable { what: path.display().to_string(), source })?
        }
        None => text_of(&was),
    };
    let file = write_private(&begin)?;
    let path = file.path().to_owned();
    spawn_blocking(move || open_editor(&path)).await.map_err(|lost| CliError::Argument(lost.to_string()))??;
    // By its name: many editors write a new file in the place of the old one.
    let text = fs::read_to_string(file.path());
    if text.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        // Nothing can be kept to go on with.
        let from = args.from.iter().map(|from| format!(" --from {}", super::super::quoted(&from.to_string_lossy())));
        let again = invocation.command(&format!("config edit{}", from.collect::<String>()));
        return Err(CliError::NoText { path: file.path().to_owned(), again });
    }
    if text.as_ref().is_ok_and(|text| *text == begin) && args.from.is_none() {
        match invocation.format {
            Format::Json => output::json_line(&serde_json::json!({ "changed": [] })),
            Format::Table => output::line("Nothing was changed."),
        }
        return Ok(());
    }
    let document = text
        .map_err(|source| CliError::Unreadable { what: file.path().display().to_string(), source })
        .and_then(|text| parsed(&text));
    let stored = match document {
        Ok(document) => access.write(was, &document).await,
        Err(why) => Err(why),
    };
    let Err(why) = stored else {
        if let Some(done) = args.from.filter(|path| was_kept_here(path)) {
            // It holds nothing any more that is not in the store.
            let _ = fs::remove_file(done);
        }
        return Ok(());
    };
    let kept = keep(file)?;
    let go_on = invocation.command(&format!("config edit --from {}", super::super::quoted(&kept.to_string_lossy())));
    Err(CliError::NotTaken { why: Box::new(why), go_on })
}

/// What is edited: every setting, those that are not set as comments. What cannot be used is shown as it is, with what is wrong in it.
fn text_of(stored: &str) -> String {
    match ConfigDocument::parse(stored) {
        Ok(document) => document.to_edit(),
        Err(error) => format!("# {}\n{stored}", error.to_string().replace('\n', " ")),
    }
}

/// The text as a configuration, or all that is wrong with it.
fn parsed(text: &str) -> Result<ConfigDocument, CliError> {
    ConfigDocument::parse(text).map_err(|error| match error {
        ConfigError::Mistakes(mistakes) => {
            let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
            CliError::Argument(mistakes.join("; "))
        }
        other => other.into(),
    })
}

/// What the names of texts that are kept begin with.
const PREFIX: &str = "p2p-config-";

/// Where texts are kept while they are edited, and until they are taken.
fn folder() -> PathBuf {
    in_memory().unwrap_or_else(env::temp_dir)
}

/// Whether this command has kept the text itself. All other files are their owners' own.
fn was_kept_here(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.starts_with(PREFIX)) && path.parent() == Some(&*folder())
}

/// A file that only this user can read (mode 0600), and that is gone when it is dropped.
fn write_private(text: &str) -> Result<NamedTempFile, CliError> {
    let folder = folder();
    let failed = |source| CliError::Unwritable { what: folder.display().to_string(), source };
    let mut file = tempfile::Builder::new().prefix(PREFIX).suffix(".yaml").tempfile_in(&folder).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(failed)?;
    Ok(file)
}

/// A folder whose files never reach a disk: that of the user's session, or that of shared memory.
fn in_memory() -> Option<PathBuf> {
    let session = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    session.into_iter().chain([PathBuf::from("/dev/shm")]).find(|path| path.is_dir())
}

fn keep(file: NamedTempFile) -> Result<PathBuf, CliError> {
    let what = file.path().display().to_string();
    let (_, path) = file.keep().map_err(|error| CliError::Unwritable { what, source: error.error })?;
    Ok(path)
}

/// Runs the editor, which is a command line as a shell takes it: `code --wait`.
fn open_editor(path: &Path) -> Result<(), CliError> {
    let named = |name: &str| env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    let editor = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let status = child::command("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(path).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(CliError::Editor { editor, why: status.to_string() }),
        Err(error) => Err(CliError::Editor { editor, why: error.to_string() }),
    }
}
