//! What users who made a mistake are told. Each file in `tests/ui` is one mistake, or one kind of it; its `.stderr` is what the
//! compiler says. `TRYBUILD=overwrite cargo test -p p2p-macros --test ui` writes them anew; read them as a user would.

#[test]
fn mistakes_are_told_at_the_users_tokens_with_the_legal_form() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
