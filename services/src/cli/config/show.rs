//! `p2p config show`: every setting as it is.

use clap::Args;
use p2p_runtime::config::{ConfigDocument, Settings};
use serde_json::json;

use super::{
    super::{
        Invocation,
        error::CliError,
        output::{self, Format},
        password::PasswordArgs,
    },
    access::Access,
};

/// Shows every setting, and whether it is set or has its default
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} config show
  {program} config show rate_limit
  {program} config show --output json")]
pub(super) struct ShowArgs {
    /// Only this setting, or the settings of this section
    #[arg(value_name = "KEY")]
    key: Option<String>,

    #[command(flatten)]
    password: PasswordArgs,
}

/// Shows it.
pub(super) async fn run(args: ShowArgs, invocation: &Invocation) -> Result<(), CliError> {
    let access = Access::new(&args.password, invocation)?;
    let document = ConfigDocument::parse(&access.read().await?)?;
    let wanted = |key: &str| match &args.key {
        Some(wanted) => key == wanted || key.split_once('.').is_some_and(|(section, _)| section == wanted),
        None => true,
    };
    let shown = Settings::all().iter().filter(|setting| wanted(setting.key));
    let rows: Vec<_> =
        shown.map(|setting| (setting.key, setting.show(document.config()), document.is_set(setting.key))).collect();
    if let (Some(key), true) = (&args.key, rows.is_empty()) {
        // The document knows what is meant; it is only asked.
        document.without(key)?;
    }
    match invocation.format {
        Format::Json => {
            let values: Vec<_> =
                rows.iter().map(|(key, value, is_set)| json!({ "key": key, "value": value, "is_set": is_set })).collect();
            output::json_line(&values.into());
        }
        Format::Table => {
            let rows = rows
                .into_iter()
                .map(|(key, value, is_set)| [key.to_owned(), value, if is_set { "set" } else { "default" }.to_owned()]);
            output::line(output::table(["KEY", "VALUE", ""], rows));
        }
    }
    Ok(())
}
