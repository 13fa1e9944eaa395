//! Calls: functions by name and argument types, aggregates, functions that return rows.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName,
};
use types::{SqlError, SqlState};

use super::coercion::{Family, family};
use super::level::{Clause, Level};
use super::{Binder, Typed, unsupported};
use crate::names::SYSTEM_SCHEMAS;
use crate::pg_catalog::data;
use crate::pg_catalog::functions::{self, SetFunction};
use crate::pg_catalog::kind::{self, Kind};
use crate::pg_catalog::plan::{Aggregate, AggregateKind, Ex, OrderKey};

const ANY: Kind = 2276;
const ANYARRAY: Kind = 2277;
/// `anyelement`, `anynonarray`, `anycompatible`, `anycompatiblenonarray`
const ANYELEMENT: [Kind; 4] = [2283, 2776, 5077, 5079];
const ANYCOMPATIBLEARRAY: Kind = 5078;

/// The arguments of one function of `pg_proc`.
struct Signature {
    arguments: Vec<Kind>,
    required: usize,
    variadic: bool,
}

static SIGNATURES: LazyLock<HashMap<&'static str, Vec<Signature>>> = LazyLock::new(|| {
    let mut signatures: HashMap<&'static str, Vec<Signature>> = HashMap::new();
    let Some(table) = data::table("pg_proc") else { return signatures };
    for line in table.lines() {
        let raw = |column| table.raw(line, column).unwrap_or_default();
        let arguments: Vec<Kind> = raw("proargtypes").split_whitespace().filter_map(|oid| oid.parse().ok()).collect();
        let required = arguments.len().saturating_sub(raw("pronargdefaults").parse().unwrap_or(0));
        let variadic = raw("provariadic") != "0";
        signatures.entry(raw("proname")).or_default().push(Signature { arguments, required, variadic });
    }
    signatures
});

/// How well an argument fits: `None` not at all.
fn fit(given: Kind, wanted: Kind) -> Option<u32> {
    let array = kind::is_array(given);
    match (given, wanted) {
        _ if given == wanted => Some(4),
        (_, ANY) => Some(1),
        (_, ANYARRAY | ANYCOMPATIBLEARRAY) => (array || given == kind::UNKNOWN).then_some(2),
        (_, wanted) if ANYELEMENT.contains(&wanted) => Some(1),
        (kind::UNKNOWN, wanted) => Some(if family(wanted) == Family::String { 3 } else { 2 }),
        // As `text` names a relation.
        (given, kind::REGCLASS) if family(given) == Family::String => Some(1),
        (given, wanted) => (family(given) == family(wanted)).then_some(2),
    }
}

/// The argument types of the function that fits best. `Ok(None)`: the name is not in `pg_proc`, or takes any number of arguments.
fn signature(name: &str, given: &[Kind]) -> Result<Option<&'static [Kind]>, ()> {
    let Some(all) = SIGNATURES.get(name) else { return Ok(None) };
    let mut best: Option<(u32, &'static [Kind])> = None;
    for found in all {
        if found.variadic {
            return Ok(None);
        }
        if given.len() < found.required || given.len() > found.arguments.len() {
            continue;
        }
        let score = given.iter().zip(&found.arguments).try_fold(0, |sum, (given, wanted)| Some(sum + fit(*given, *wanted)?));
        if let Some(score) = score
            && best.is_none_or(|(least, _)| score > least)
        {
            best = Some((score, &found.arguments));
        }
    }
    best.map(|(_, arguments)| Some(arguments)).ok_or(())
}

/// A function's name; `None` if it is in another schema than the system's.
pub(in crate::pg_catalog) fn function_name(name: &ObjectName) -> Option<&str> {
    let ident = |at: usize| name.0.get(at).and_then(|part| part.as_ident()).map(|ident| ident.value.as_str());
    match name.0.len() {
        1 => ident(0),
        2 if ident(0).is_some_and(|schema| SYSTEM_SCHEMAS.contains(&schema)) => ident(1),
        _ => None,
    }
}

fn aggregate_kind(name: &str) -> Option<AggregateKind> {
    Some(match name {
        "count" => AggregateKind::Count,
        "sum" => AggregateKind::Sum,
        "min" => AggregateKind::Min,
        "max" => AggregateKind::Max,
        "bool_and" | "every" => AggregateKind::And,
        "bool_or" => AggregateKind::Or,
        "array_agg" => AggregateKind::Array,
        "string_agg" => AggregateKind::String,
        _ => return None,
    })
}

/// A function of FROM or of the SELECT list with its arguments and columns.
pub(super) struct SetCall {
    pub(super) function: SetFunction,
    pub(super) arguments: Vec<Ex>,
    pub(super) kinds: Vec<Kind>,
    pub(super) columns: Vec<(&'static str, Kind)>,
}

impl Binder<'_> {
    pub(super) fn function(&self, level: &Level<'_>, function: &Function) -> Result<Typed, SqlError> {
        if function.over.is_some() || !function.within_group.is_empty() || function.null_treatment.is_some() {
            return Err(unsupported("a window function"));
        }
        let written = &function.name;
        let lower = function_name(written).map(str::to_ascii_lowercase);
        let Some(name) = lower.as_deref() else { return Err(self.no_function(written, &[])) };
        let list = match &function.args {
            FunctionArguments::None => None,
            FunctionArguments::List(list) => Some(list),
            FunctionArguments::Subquery(query) if name == "array" => return self.array_subquery(level, query),
            FunctionArguments::Subquery(_) => return Err(unsupported("a function of a subquery")),
        };
        if let Some(how) = aggregate_kind(name) {
            return self.aggregate(level, how, function, list);
        }
        let arguments = list.map_or(&[][..], |list| &list.args);
        if function.filter.is_some() || list.is_some_and(|l| l.duplicate_treatment.is_some() || !l.clauses.is_empty()) {
            let message = format!("{name} is not an aggregate function");
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
        }
        let bound = self.arguments(level, arguments)?;
        self.call(level, written, name, bound)
    }

    pub(super) fn arguments(&self, level: &Level<'_>, arguments: &[FunctionArg]) -> Result<Vec<Typed>, SqlError> {
        let one = |argument: &FunctionArg| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.expression(level, expr),
            FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => {
                let ident = name.0.last().and_then(|part| part.as_ident());
                self.relation_row(level, ident.ok_or_else(|| unsupported("this argument"))?)
            }
            other => Err(unsupported(format!("the argument {other}"))),
        };
        arguments.iter().map(one).collect()
    }

    /// A function that has a syntax of its own.
    pub(super) fn call_with(&self, level: &Level<'_>, name: &str, arguments: &[&Expr]) -> Result<Typed, SqlError> {
        let arguments = arguments.iter().map(|e| self.expression(level, e)).collect::<Result<Vec<_>, _>>()?;
        self.call(level, &ObjectName::from(vec![Ident::new(name)]), name, arguments)
    }

    fn call(&self, level: &Level<'_>, written: &ObjectName, name: &str, arguments: Vec<Typed>) -> Result<Typed, SqlError> {
        match name {
            "coalesce" => {
                let (items, kind) = self.unify("COALESCE", arguments)?;
                return Ok(Typed::new(Ex::Coalesce(items), kind));
            }
            "nullif" | "greatest" | "least" => {
                let (items, kind) = self.unify(&name.to_ascii_uppercase(), arguments)?;
                let kinds = vec![kind; items.len()];
                let function = functions::find(name, &kinds).ok_or_else(|| self.no_function(written, &kinds))?;
                return Ok(Typed::new(Ex::Call(function, items, kinds.into()), kind));
            }
            "row" => {
                let fields = (1..).zip(&arguments).map(|(n, item)| (format!("f{n}"), item.kind)).collect();
                let items = arguments.into_iter().map(|a| a.ex).collect();
                return Ok(Typed { ex: Ex::Row(items), kind: kind::RECORD, fields: Some(fields) });
            }
            "_pg_truetypid" => return true_type(&arguments, "atttypid", "typbasetype", kind::OID),
            "_pg_truetypmod" => return true_type(&arguments, "atttypmod", "typtypmod", kind::INT4),
            _ => {}
        }
        if let Some(set) = self.set_call(name, &arguments)? {
            return self.set_value(level, set);
        }
        let (items, kinds) = self.fitted(written, name, arguments)?;
        let function = functions::find(name, &kinds).ok_or_else(|| self.no_function(written, &kinds))?;
        Ok(Typed::new(Ex::Call(function, items, kinds.into()), function.returns))
    }

    /// Arguments as the types a function takes. Errors: 42883.
    fn fitted(&self, written: &ObjectName, name: &str, arguments: Vec<Typed>) -> Result<(Vec<Ex>, Vec<Kind>), SqlError> {
        let given: Vec<Kind> = arguments.iter().map(|a| a.kind).collect();
        let wanted = signature(name, &given).map_err(|()| self.no_function(written, &given))?;
        let mut items = Vec::with_capacity(arguments.len());
        let mut kinds = Vec::with_capacity(arguments.len());
        for (at, argument) in arguments.into_iter().enumerate() {
            let to = match wanted.and_then(|wanted| wanted.get(at)).copied() {
                Some(wanted) if argument.kind == kind::UNKNOWN => plain_kind(wanted),
                Some(kind::REGCLASS) if family(argument.kind) == Family::String => kind::REGCLASS,
                None if argument.kind == kind::UNKNOWN => kind::TEXT,
                _ => argument.kind,
            };
            items.push(self.coerce(argument, to));
            kinds.push(to);
        }
        Ok((items, kinds))
    }

    /// A function that returns rows; `None` if there is none of the name.
    pub(super) fn set_call(&self, name: &str, arguments: &[Typed]) -> Result<Option<SetCall>, SqlError> {
        let given: Vec<Kind> = arguments.iter().map(|a| a.kind).collect();
        if functions::find_set(name, &given).is_none() {
            return Ok(None);
        }
        let written = ObjectName::from(vec![Ident::new(name)]);
        let (arguments, kinds) = self.fitted(&written, name, arguments.to_vec())?;
        let found = functions::find_set(name, &kinds).ok_or_else(|| self.no_function(&written, &kinds))?;
        Ok(Some(SetCall { function: found.0, arguments, kinds, columns: found.1 }))
    }

    /// A function that returns rows, in the SELECT list.
    fn set_value(&self, level: &Level<'_>, call: SetCall) -> Result<Typed, SqlError> {
        if let Clause::Other(clause) = level.clause.get() {
            let message = format!("set-returning functions are not allowed in {clause}");
            return Err(SqlError::unsupported(message));
        }
        let mut sets = level.sets.borrow_mut();
        sets.push((call.function, call.arguments, call.kinds));
        let ex = Ex::Set(sets.len() - 1);
        if let [(_, kind)] = call.columns.as_slice() {
            return Ok(Typed::new(ex, *kind));
        }
        let fields = call.columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Ok(Typed { ex, kind: kind::RECORD, fields: Some(fields) })
    }

    fn aggregate(
        &self,
        level: &Level<'_>,
        how: AggregateKind,
        function: &Function,
        list: Option<&FunctionArgumentList>,
    ) -> Result<Typed, SqlError> {
        let was = level.clause.get();
        match was {
            Clause::Items | Clause::Having => {}
            Clause::Aggregate => {
                return Err(SqlError::new(SqlState::GROUPING_ERROR, "aggregate function calls cannot be nested"));
            }
            Clause::Other(clause) => {
                let message = format!("aggregate functions are not allowed in {clause}");
                return Err(SqlError::new(SqlState::GROUPING_ERROR, message));
            }
        }
        level.clause.set(Clause::Aggregate);
        let bound = self.aggregate_parts(level, how, function, list);
        level.clause.set(was);
        let (aggregate, kind) = bound?;
        let mut aggregates = level.aggregates.borrow_mut();
        aggregates.push(aggregate);
        Ok(Typed::new(Ex::Aggregate(aggregates.len() - 1), kind))
    }

    fn aggregate_parts(
        &self,
        level: &Level<'_>,
        how: AggregateKind,
        function: &Function,
        list: Option<&FunctionArgumentList>,
    ) -> Result<(Aggregate, Kind), SqlError> {
        let Some(list) = list else { return Err(self.no_function(&function.name, &[])) };
        let star = matches!(list.args.as_slice(), [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]);
        let args = if star && how == AggregateKind::Count { vec![] } else { self.arguments(level, &list.args)? };
        let given: Vec<Kind> = args.iter().map(|a| a.kind).collect();
        let missing = || self.no_function(&function.name, &given);
        let number = |kind| match kind {
            kind::INT2 | kind::INT4 => Some(kind::INT8),
            kind::INT8 => Some(kind::NUMERIC),
            kind::NUMERIC | kind::FLOAT4 | kind::FLOAT8 => Some(kind),
            _ => None,
        };
        let text = |kind| if kind == kind::UNKNOWN { kind::TEXT } else { kind };
        let (to, returns) = match (how, given.as_slice()) {
            (AggregateKind::Count, []) if star => (vec![], kind::INT8),
            (AggregateKind::Count, [one]) => (vec![text(*one)], kind::INT8),
            (AggregateKind::Sum, [one]) => (vec![*one], number(*one).ok_or_else(missing)?),
            (AggregateKind::Min | AggregateKind::Max, [one]) => (vec![text(*one)], text(*one)),
            (AggregateKind::And | AggregateKind::Or, [kind::BOOL | kind::UNKNOWN]) => (vec![kind::BOOL], kind::BOOL),
            (AggregateKind::Array, [one]) => (vec![text(*one)], kind::array_of(*one)),
            (AggregateKind::String, [a, b]) if [*a, *b].iter().all(|k| matches!(family(*k), Family::String | Family::Any)) => {
                (vec![text(*a), text(*b)], kind::TEXT)
            }
            _ => return Err(missing()),
        };
        let args = args.into_iter().zip(to).map(|(arg, to)| self.coerce(arg, to)).collect();
        let mut order = vec![];
        for clause in &list.clauses {
            let FunctionArgumentClause::OrderBy(items) = clause else { return Err(unsupported(format!("\"{clause}\""))) };
            for item in items {
                let key = OrderKey::Expression(self.expression(level, &item.expr)?.ex);
                order.push(super::query::order(key, item)?);
            }
        }
        let filter = match &function.filter {
            Some(expr) => Some(self.condition("FILTER", self.expression(level, expr)?)?),
            None => None,
        };
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        Ok((Aggregate { how, distinct, args, filter, order }, returns))
    }

    pub(super) fn no_function(&self, name: &ObjectName, kinds: &[Kind]) -> SqlError {
        let given: Vec<String> =
            kinds.iter().map(|k| if *k == kind::UNKNOWN { "unknown".to_owned() } else { kind::format(*k, None) }).collect();
        let parts: Vec<&str> = name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.as_str()).collect();
        let message = format!("function {}({}) does not exist", parts.join("."), given.join(", "));
        let hint = "No function matches the given name and argument types. You might need to add explicit type casts.";
        let error = match name.0.first().and_then(|part| part.as_ident()) {
            Some(ident) => self.error_of(ident, SqlState::UNDEFINED_FUNCTION, message),
            None => SqlError::new(SqlState::UNDEFINED_FUNCTION, message),
        };
        error.hint(hint)
    }
}

/// The type a constant becomes for an argument: text where any would do.
fn plain_kind(wanted: Kind) -> Kind {
    let any = wanted == ANY || wanted == ANYARRAY || wanted == ANYCOMPATIBLEARRAY || ANYELEMENT.contains(&wanted);
    if any { kind::TEXT } else { wanted }
}

/// `_pg_truetypid(pg_attribute, pg_type)` and `_pg_truetypmod`: of a domain the type under it.
fn true_type(arguments: &[Typed], own: &str, base: &str, returns: Kind) -> Result<Typed, SqlError> {
    let field = |row: Option<&Typed>, name: &str| {
        let row = row?;
        let at = row.fields.as_ref()?.iter().position(|(field, _)| field == name)?;
        match &row.ex {
            Ex::Row(items) => items.get(at).cloned(),
            _ => None,
        }
    };
    let (attribute, type_row) = (arguments.first(), arguments.get(1));
    let parts = (field(type_row, "typtype"), field(type_row, base), field(attribute, own));
    let (Some(typtype), Some(base), Some(own)) = parts else { return Err(unsupported("this use of a type's domain")) };
    let domain = Ex::Const(crate::pg_catalog::value::Value::text("d"));
    let is_domain = Ex::Operate(crate::pg_catalog::operator::Operator::Eq, Box::new(typtype), Box::new(domain));
    Ok(Typed::new(Ex::Case(vec![(is_domain, base)], Some(Box::new(own))), returns))
}
