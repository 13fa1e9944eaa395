//! From a client's text to statements.
//!
//! ```text
//! text --tokenizer--> tokens, folded --split at ;--> one cursor each --grammar--> Command
//!                                                                     |
//!                        queries, expressions, INSERT, UPDATE, DELETE: sqlparser; everything else: our own small grammar
//! ```
//!
//! 1. Identifiers are folded here and nowhere else: the AST carries names as the catalog has them.
//! 2. A text with a syntax error anywhere runs not at all, as in PostgreSQL.
//! 3. Errors carry the position in the whole text.
//!
//! Not here: what a command means (`session`, `ddl`, `dml`, `copy`, `settings`). Source: PostgreSQL 15 `gram.y`.

mod alter;
mod command;
mod constraint;
mod copy;
mod cursor;
mod ddl;
mod depth;
mod dml;
mod fetch;
mod foreign;
mod index;
mod inference;
mod lexical;
mod locking;
mod merge;
mod sequence;
mod session;
mod source;
mod statement;

pub(crate) use alter::{AddColumn, AlterTable, TableAction};
pub(crate) use command::*;
pub(crate) use constraint::{Constraint, Reference};
use cursor::Cursor;
pub(crate) use ddl::sql_type;
pub(crate) use index::{CreateIndex, IndexElement, ReindexKind};
pub(crate) use inference::{Inference, of_name as inference_of_name};
pub(crate) use merge::{Merge, MergeAction, of_ast as merge_of_ast, writes};
pub(crate) use sequence::{
    AlterSequence, ColumnSequence, CreateSequence, Overriding, OwnerName, SequenceAction, SequenceOptions, alias_of, overriding,
};
pub(crate) use source::Source;
pub use statement::Statement;

use sqlparser::tokenizer::Token;
use types::SqlError;

/// Splits a text at its semicolons and parses what is between them; nothing between them is no statement.
pub(crate) fn parse(text: &str) -> Result<Vec<Statement>, SqlError> {
    let source = Source::new(text);
    let tokens = cursor::tokens(&source)?;
    let mut statements = Vec::new();
    for tokens in tokens.split(|t| t.token == Token::SemiColon) {
        let mut ends = tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_)));
        let Some(first) = ends.next() else { continue };
        let last = ends.next_back().unwrap_or(first);
        let (start, end) = (source.byte(first.span.start), source.byte(last.span.end));
        depth::check(tokens, &source)?;
        dml::check_cursors(tokens)?;
        let tokens = sequence::with_overriding(dml::without_inheritance(tokens.to_vec()));
        let tokens = inference::with_names(tokens, &source)?;
        let mut cursor = Cursor::new(tokens, &source);
        let command = statement::command(&mut cursor)?;
        cursor.expect_end()?;
        statements.push(Statement::new(source.clone(), start..end, command));
    }
    if statements.len() > 1 {
        statements.iter_mut().for_each(Statement::in_company);
    }
    Ok(statements)
}

/// An expression that was stored as text, e.g. a column's DEFAULT.
pub(crate) fn parse_expr(text: &str) -> Result<sqlparser::ast::Expr, SqlError> {
    let source = Source::new(text);
    let tokens = cursor::tokens(&source)?;
    depth::check(&tokens, &source)?;
    let mut cursor = Cursor::new(tokens, &source);
    let expr = cursor.expr()?;
    cursor.expect_end()?;
    Ok(expr)
}

/// A query that was made or stored as text.
pub(crate) fn parse_query(text: &str) -> Result<Box<sqlparser::ast::Query>, SqlError> {
    let source = Source::new(text);
    let mut cursor = Cursor::new(cursor::tokens(&source)?, &source);
    let query = cursor.query()?;
    cursor.expect_end()?;
    Ok(query)
}

#[cfg(test)]
mod tests {
    use types::SqlState;

    use super::*;
    use engine::Isolation;

    fn one(text: &str) -> Command {
        let mut statements = parse(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        assert_eq!(statements.len(), 1, "{text}");
        statements.remove(0).command().clone()
    }

    fn error(text: &str) -> (SqlState, String, Option<u32>) {
        let error = parse(text).map(|s| s.into_iter().map(|s| s.command().clone()).collect::<Vec<_>>()).unwrap_err();
        (error.state, error.message, error.fields.position)
    }

    #[test]
    fn texts_are_split_at_semicolons_outside_strings() {
        assert!(parse("").unwrap().is_empty());
        assert!(parse(" ; ;; -- nothing\n").unwrap().is_empty());
        let statements = parse("select ';' ; /* ; */ begin;\ncommit").unwrap();
        let texts: Vec<&str> = statements.iter().map(Statement::text).collect();
        assert_eq!(texts, ["select ';'", "begin", "commit"]);
        assert!(statements.iter().all(|s| !s.is_alone()));
        assert!(parse("commit;").unwrap()[0].is_alone());
    }

    #[test]
    fn syntax_errors_name_the_token_and_its_place() {
        let syntax = |near: &str| format!("syntax error at or near \"{near}\"");
        assert_eq!(error("selec 1"), (SqlState::SYNTAX_ERROR, syntax("selec"), Some(1)));
        assert_eq!(error("select 1;\n  frob x"), (SqlState::SYNTAX_ERROR, syntax("frob"), Some(13)));
        assert_eq!(error("select * from"), (SqlState::SYNTAX_ERROR, "syntax error at end of input".into(), Some(14)));
        assert_eq!(error("insert into t values (1"), (SqlState::SYNTAX_ERROR, "syntax error at end of input".into(), Some(24)));
        assert_eq!(error("create table t (a int,)"), (SqlState::SYNTAX_ERROR, syntax(")"), Some(23)));
        assert_eq!(error("drop table"), (SqlState::SYNTAX_ERROR, "syntax error at end of input".into(), Some(11)));
        assert_eq!(error("drop table select"), (SqlState::SYNTAX_ERROR, syntax("select"), Some(12)));
        assert_eq!(
            error("select 'abc"),
            (SqlState::SYNTAX_ERROR, "unterminated quoted string at or near \"'abc\"".into(), Some(8))
        );
    }

    #[test]
    fn names_of_the_database_itself_are_no_identifiers() {
        for text in ["select * from \"\u{1}with 0\"", "select 1::\"\u{1}char\"", "create table \"a\u{1}\" (b int)"] {
            assert_eq!(error(text).0, SqlState::INVALID_NAME, "{text}");
        }
        assert_eq!(error("select \"\u{1}\"").2, Some(8));
        assert!(parse("select '\u{1}', \"a\u{2}\"").is_ok());
    }

    #[test]
    fn identifiers_are_folded_and_cut() {
        let Command::CreateTable(table) = one("CREATE TABLE Foo.\"Bar\" (A int, \"B\" TEXT)") else { panic!() };
        assert_eq!((table.name.schema.as_deref(), table.name.name.as_str()), (Some("foo"), "Bar"));
        assert_eq!(table.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a", "B"]);
        let long = "x".repeat(70);
        let Command::Savepoint(name) = one(&format!("savepoint {long}")) else { panic!() };
        assert_eq!(name.len(), 63);
    }

    #[test]
    fn transaction_statements_in_all_their_spellings() {
        for text in ["begin", "BEGIN WORK", "begin transaction"] {
            assert!(matches!(one(text), Command::Begin { start: false, .. }), "{text}");
        }
        let Command::Begin { start: true, modes } = one("start transaction isolation level repeatable read, read only") else {
            panic!()
        };
        assert_eq!((modes.isolation, modes.read_only), (Some(Isolation::RepeatableRead), Some(true)));
        let Command::Begin { modes, .. } = one("begin isolation level read uncommitted read write not deferrable") else {
            panic!()
        };
        assert_eq!((modes.isolation, modes.read_only), (Some(Isolation::ReadCommitted), Some(false)));
        let Command::Begin { modes, .. } = one("begin isolation level serializable, read only deferrable") else { panic!() };
        assert_eq!((modes.isolation, modes.deferrable), (Some(Isolation::Serializable), Some(true)));
        assert!(matches!(one("end"), Command::Commit { chain: false }));
        assert!(matches!(one("commit and chain"), Command::Commit { chain: true }));
        assert!(matches!(one("abort and no chain"), Command::Rollback { chain: false }));
        assert!(matches!(one("rollback work to savepoint a"), Command::RollbackTo(name) if name == "a"));
        assert!(matches!(one("release a"), Command::Release(name) if name == "a"));
    }

    #[test]
    fn settings_take_words_numbers_lists_and_zones() {
        let set = |text: &str| match one(text) {
            Command::Set(set) => set,
            other => panic!("{other:?}"),
        };
        assert_eq!(set("set search_path to a, \"B\"").values.unwrap().len(), 2);
        assert!(set("set local work_mem = '1MB'").local);
        assert_eq!(set("set session my.var = 5").name, "my.var");
        assert_eq!(set("set time zone -8").values, Some(vec![SetValue::Number("-8".into())]));
        assert_eq!(set("set time zone interval '-08:00' hour to minute").name, "timezone");
        assert_eq!(set("set names 'utf8'").name, "client_encoding");
        assert_eq!(set("set work_mem to default").values, None);
        assert!(matches!(one("set session characteristics as transaction read only"), Command::SetSessionCharacteristics(_)));
        assert!(matches!(one("set transaction read only"), Command::SetTransaction(_)));
        assert!(matches!(one("show transaction isolation level"), Command::Show(Some(n)) if n == "transaction_isolation"));
        assert!(matches!(one("show all"), Command::Show(None)));
        assert!(matches!(one("reset all"), Command::Reset(None)));
    }

    #[test]
    fn pgbench_and_pg_dump_forms_are_known() {
        for text in [
            "drop table if exists pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers",
            "create table pgbench_history(tid int,bid int,aid    int,delta int,mtime timestamp,filler char(22))",
            "create table pgbench_tellers(tid int not null,bid int,tbalance int,filler char(84)) with (fillfactor=100)",
            "truncate table pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers",
            "copy pgbench_accounts from stdin with (freeze on)",
            "vacuum analyze pgbench_branches",
            "alter table pgbench_branches add primary key (bid)",
            "alter table only public.t add constraint t_pkey primary key (a, b)",
            "COPY public.t (a, b) TO stdout;",
            "copy t from stdin csv header delimiter ';' null as ''",
            "copy (select 1) to stdout (format csv, header match, force_quote *)",
            "vacuum (full, verbose off) t",
            "checkpoint",
            "discard all",
            "create table x as select 1 with no data",
            "create table x (a, b) as values (1, 2)",
            "create table if not exists x (a int default 1 not null, primary key (a))",
            "create table x (a serial primary key, b smallserial, c bigint generated by default as identity (start 5))",
            "create sequence if not exists s as int increment by -1 minvalue -10 no maxvalue start with 3 cache 1 no cycle owned by s.t.a",
            "alter sequence s restart",
            "alter table if exists only s.t add column if not exists b int default 5 not null, drop c cascade, alter d type text using d::text",
            "alter table t alter column a set default 1, alter b drop default, alter c set not null, alter d drop not null",
            "alter table t rename a to b",
            "alter table t rename column a to b",
            "alter table t rename to u",
            "alter table t set schema s",
            "alter sequence if exists s.t rename to u",
            "drop sequence if exists a, b cascade",
            "truncate a, b restart identity cascade",
            "insert into t overriding system value values (1)",
            "insert into t (a, b) overriding user value select 1, 2",
            "explain (analyze, format json) select 1",
            "explain analyze (select 1)",
            "prepare p (int, unknown) as select $1",
            "execute p (1, 'x')",
            "deallocate prepare all",
            "set constraints all immediate",
            "with x as (delete from t returning *) select * from x",
            "with x as (select 1) insert into t select * from x",
            "merge into only t * as x using u on x.a = u.a when matched and u.b then do nothing when not matched then insert default values",
            "update only t * set a = 1",
            "delete from only s.t * as x where a = 1",
        ] {
            one(text);
        }
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        for text in [
            "create temp table t (a int)",
            "create unlogged table t (a int)",
            "create table t (a int[])",
            "create table t (a jsonb)",
            "create table t (like u)",
            "create index i on t using gin (a)",
            "create index i on t (a text_pattern_ops)",
            "create extension x",
            "select * from (select * from t for update) as x",
            "select * from (with x as (delete from t returning *) select * from x) as y",
            "insert into t with x as (delete from u returning *) select * from x",
            "with x as (with y as (delete from t returning *) select * from y) select * from x",
            "grant select on t to u",
            "listen x",
            "prepare transaction 'x'",
            "declare c scroll cursor for select 1",
            "drop function f",
            "copy t from '/etc/passwd' where a > 1",
        ] {
            assert_eq!(error(text).0, SqlState::FEATURE_NOT_SUPPORTED, "{text}");
        }
        assert_eq!(error("create table t (a frobnicate)").0, SqlState::UNDEFINED_OBJECT);
        assert_eq!(error("create table t (a int) with (wrong = 1)").0, SqlState::INVALID_PARAMETER_VALUE);
    }
}
