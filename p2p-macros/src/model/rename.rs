//! serde's `rename_all`: what fields and variants are called in JSON.

/// A rule by which names are changed.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    Keep,
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Rule {
    /// Reads a rule; `None` of one that is not known.
    pub(super) fn read(name: Option<&str>) -> Option<Self> {
        Some(match name {
            None => Self::Keep,
            Some("lowercase") => Self::Lower,
            Some("UPPERCASE") => Self::Upper,
            Some("PascalCase") => Self::Pascal,
            Some("camelCase") => Self::Camel,
            Some("snake_case") => Self::Snake,
            Some("SCREAMING_SNAKE_CASE") => Self::ScreamingSnake,
            Some("kebab-case") => Self::Kebab,
            Some("SCREAMING-KEBAB-CASE") => Self::ScreamingKebab,
            Some(_) => return None,
        })
    }

    /// The name of a field, which is written in snake case. `None` where it has letters for which the rule is not clear.
    pub(super) fn of_field(self, name: &str) -> Option<String> {
        let changed = match self {
            Self::Keep | Self::Lower | Self::Snake => return Some(name.to_owned()),
            Self::Upper | Self::ScreamingSnake => name.to_ascii_uppercase(),
            Self::Pascal => pascal(name),
            Self::Camel => with_small_initial(&pascal(name)),
            Self::Kebab => name.replace('_', "-"),
            Self::ScreamingKebab => name.to_ascii_uppercase().replace('_', "-"),
        };
        name.is_ascii().then_some(changed)
    }

    /// The name of a variant, which is written in Pascal case. `None` where it has letters for which the rule is not clear.
    pub(super) fn of_variant(self, name: &str) -> Option<String> {
        let changed = match self {
            Self::Keep | Self::Pascal => return Some(name.to_owned()),
            Self::Lower => name.to_ascii_lowercase(),
            Self::Upper => name.to_ascii_uppercase(),
            Self::Camel => with_small_initial(name),
            Self::Snake => snake(name),
            Self::ScreamingSnake => snake(name).to_ascii_uppercase(),
            Self::Kebab => snake(name).replace('_', "-"),
            Self::ScreamingKebab => snake(name).to_ascii_uppercase().replace('_', "-"),
        };
        name.is_ascii().then_some(changed)
    }
}

/// `max_size` becomes `MaxSize`.
fn pascal(name: &str) -> String {
    name.split('_').map(|word| changed_initial(word, |initial| initial.to_ascii_uppercase())).collect()
}

fn with_small_initial(name: &str) -> String {
    changed_initial(name, |initial| initial.to_ascii_lowercase())
}

fn changed_initial(word: &str, change: impl Fn(char) -> char) -> String {
    let mut chars = word.chars();
    chars.next().map(change).into_iter().chain(chars).collect()
}

/// `MaxSize` becomes `max_size`, `HTTPPort` becomes `h_t_t_p_port`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (index, c) in name.chars().enumerate() {
        if index > 0 && c.is_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_changed_as_serde_documents_it() {
        for (rule, field, variant) in [
            ("lowercase", "max_size", "maxsize"),
            ("UPPERCASE", "MAX_SIZE", "MAXSIZE"),
            ("PascalCase", "MaxSize", "MaxSize"),
            ("camelCase", "maxSize", "maxSize"),
            ("snake_case", "max_size", "max_size"),
            ("SCREAMING_SNAKE_CASE", "MAX_SIZE", "MAX_SIZE"),
            ("kebab-case", "max-size", "max-size"),
            ("SCREAMING-KEBAB-CASE", "MAX-SIZE", "MAX-SIZE"),
        ] {
            let rule = Rule::read(Some(rule)).unwrap();
            assert_eq!(rule.of_field("max_size").unwrap(), field);
            assert_eq!(rule.of_variant("MaxSize").unwrap(), variant);
        }
    }

    #[test]
    fn what_is_not_clear_is_left_to_serde() {
        assert!(Rule::read(Some("Title Case")).is_none());
        assert!(Rule::read(Some("camelCase")).unwrap().of_variant("Ärger").is_none());
        assert_eq!(Rule::Keep.of_variant("Ärger").unwrap(), "Ärger");
    }
}
