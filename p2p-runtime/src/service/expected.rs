//! Services that must not be missing: what a program says it expects, and the table that is shown where a node hosts something less.
//!
//! A service of a crate that no line of the program mentions is not in the program at all, and nothing would tell. So a program can
//! say what it expects, by [`register_services!`](crate::register_services) or
//! [`expect_services`](crate::node::NodeBuilder::expect_services); its nodes do not start without.

use std::{collections::BTreeSet, fmt};

use p2p_client::{
    protocol::Role,
    service::{HostedService, ServiceSpec},
};

use super::{Hosted, Registry, ServiceEntry};

/// One service that [`register_services!`](crate::register_services) names.
pub struct ExpectedService {
    spec: fn() -> &'static ServiceSpec,
}

impl ExpectedService {
    /// Used by generated code.
    pub const fn of<T: Hosted<M>, M>() -> Self {
        Self { spec: T::spec }
    }
}

inventory::collect!(ExpectedService);

/// Names services that the nodes of this program host, so that none of them can be missing unnoticed.
///
/// To name a service links its crate in; a node that should host one of them (by its `roles`) and does not refuses to start, and shows
/// the table of what there is. It stands where items stand.
///
/// ```
/// # mod greeter_service {
/// #     use p2p_runtime::prelude::*;
/// #     #[derive(Default)]
/// #     pub struct Greeter;
/// #     #[service]
/// #     impl Greeter {
/// #         #[service_method]
/// #         pub async fn greet(&self, name: String) -> Result<String> {
/// #             Ok(name)
/// #         }
/// #     }
/// # }
/// p2p_runtime::register_services![greeter_service::Greeter];
/// ```
#[macro_export]
macro_rules! register_services {
    ($($service:ty),+ $(,)?) => {
        $($crate::__private::inventory::submit! { $crate::__private::ExpectedService::of::<$service, _>() })+
    };
}

/// Why a node does not host a service that its program has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotHosted {
    /// It is for nodes of other roles.
    OtherRoles(Vec<Role>),
    /// The node cannot make it by itself.
    NotMade,
    /// The node hosts only what was handed to it.
    NotGiven,
    /// The program does not have it.
    NotThere,
}

/// The services of a program, as one node sees them.
#[derive(Debug, Clone, Default)]
pub struct ServiceTable(Vec<Row>);

#[derive(Debug, Clone)]
struct Row {
    name: String,
    version: String,
    /// In which module it was written, where that is known.
    module: Option<&'static str>,
    not_hosted: Option<NotHosted>,
}

/// What was expected and is not hosted. The text names each with the reason, and shows what there is.
#[derive(Debug, Clone)]
pub struct MissingServices {
    missing: Vec<(String, NotHosted)>,
    table: ServiceTable,
}

impl ServiceTable {
    /// What a node of this role hosts, and what else its program has.
    pub(super) fn of(registry: &Registry, role: Role, discovers: bool) -> Self {
        let hosted: Vec<_> = registry.names();
        let mut rows: Vec<Row> =
            hosted.iter().filter_map(|name| registry.get(name)).map(|hosted| Row::hosted(&*hosted)).collect();
        for entry in inventory::iter::<ServiceEntry> {
            let spec = (entry.spec)();
            match rows.iter_mut().find(|row| row.name == spec.name) {
                Some(row) => row.module = Some(entry.module),
                None => rows.push(Row::not_hosted(entry, role, discovers)),
            }
        }
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        Self(rows)
    }

    /// Checks that what is expected is hosted: by every node, or by those that it is for.
    pub(super) fn check(self, by_name: &[String], discovers: bool) -> Result<Self, MissingServices> {
        let registered = inventory::iter::<ExpectedService>.into_iter().filter(|_| discovers);
        let registered: BTreeSet<&str> = registered.map(|expected| &*(expected.spec)().name).collect();
        let mut missing = Vec::new();
        let here = by_name.iter().map(|name| (name.as_str(), true));
        let where_it_is_for = registered.into_iter().map(|name| (name, false));
        for (name, is_for_this_node) in here.chain(where_it_is_for) {
            let reason = match self.0.iter().find(|row| row.name == name) {
                Some(Row { not_hosted: None, .. }) => continue,
                Some(Row { not_hosted: Some(NotHosted::OtherRoles(_)), .. }) if !is_for_this_node => continue,
                Some(Row { not_hosted: Some(reason), .. }) => reason.clone(),
                None => NotHosted::NotThere,
            };
            if !missing.iter().any(|(earlier, _)| earlier == name) {
                missing.push((name.to_owned(), reason));
            }
        }
        if missing.is_empty() { Ok(self) } else { Err(MissingServices { missing, table: self }) }
    }
}

impl Row {
    fn hosted(service: &dyn HostedService) -> Self {
        let spec = service.spec();
        Self { name: spec.name.to_string(), version: spec.version.to_string(), module: None, not_hosted: None }
    }

    fn not_hosted(entry: &ServiceEntry, role: Role, discovers: bool) -> Self {
        let spec = (entry.spec)();
        let reason = match (discovers, entry.is_for(role)) {
            (false, _) => NotHosted::NotGiven,
            (true, true) => NotHosted::NotMade,
            (true, false) => NotHosted::OtherRoles(entry.for_roles()),
        };
        Self {
            name: spec.name.to_string(),
            version: spec.version.to_string(),
            module: Some(entry.module),
            not_hosted: Some(reason),
        }
    }
}

impl MissingServices {
    /// The names of what is missing.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().map(|(name, _)| name.as_str())
    }

    /// What there is.
    pub fn table(&self) -> &ServiceTable {
        &self.table
    }
}

impl fmt::Display for NotHosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherRoles(roles) => {
                let roles: Vec<_> = roles.iter().map(Role::to_string).collect();
                write!(f, "it is for nodes of the role {}", roles.join(" or "))
            }
            Self::NotMade => {
                f.write_str("it has neither Default nor `async fn new(cx: &Context)`; hand it to Node::builder().serve(…)")
            }
            Self::NotGiven => f.write_str("this node hosts only what is handed to Node::builder().serve(…)"),
            Self::NotThere => f.write_str(
                "it is not in this program; mention its crate (`use its_crate as _;`), or name its type in register_services![…]",
            ),
        }
    }
}

/// One service a line: name, version, whether it is hosted, where it was written.
impl fmt::Display for ServiceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("  (no service at all)");
        }
        let width = |text: fn(&Row) -> &str| self.0.iter().map(|row| text(row).len()).max().unwrap_or(0);
        let (names, versions) = (width(|row| &row.name), width(|row| &row.version));
        for (index, Row { name, version, module, not_hosted }) in self.0.iter().enumerate() {
            let state = if not_hosted.is_none() { "hosted" } else { "not hosted" };
            let line = format!("  {name:names$}  {version:versions$}  {state:10}  {}", module.unwrap_or_default());
            write!(f, "{}{}", if index == 0 { "" } else { "\n" }, line.trim_end())?;
        }
        Ok(())
    }
}

impl fmt::Display for MissingServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("services that are expected are not hosted:\n")?;
        for (name, reason) in &self.missing {
            writeln!(f, "  {name}: {reason}")?;
        }
        write!(f, "There are:\n{}", self.table)
    }
}

impl std::error::Error for MissingServices {}
