//! Plans of system queries: names resolved, types settled, conditions as near to the rows as they can be.

use std::sync::Arc;

use super::functions::{Function, SetFunction};
use super::kind::Kind;
use super::operator::Operator;
use super::relation::Column;
use super::value::Value;

/// A query.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) columns: Vec<Column>,
    /// WITH: each is run when the query starts.
    pub(crate) ctes: Vec<Cte>,
    pub(crate) body: Body,
    pub(crate) order: Vec<Order>,
    pub(crate) limit: Option<Ex>,
    pub(crate) offset: Option<Ex>,
    /// Whether it reads rows of the queries around it.
    pub(crate) correlated: bool,
}

#[derive(Debug)]
pub(crate) struct Cte {
    pub(crate) id: usize,
    pub(crate) plan: Arc<Plan>,
    /// Of a recursive one: what is repeated over the rows it found last; and whether rows found twice count once.
    pub(crate) repeated: Option<(Arc<Plan>, bool)>,
}

#[derive(Debug)]
pub(crate) enum Body {
    Select(Box<Select>),
    Set { how: SetKind, all: bool, left: Arc<Plan>, right: Arc<Plan> },
    Values(Vec<Vec<Ex>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetKind {
    Union,
    Intersect,
    Except,
}

#[derive(Debug, Default)]
pub(crate) struct Select {
    pub(crate) from: Option<Node>,
    /// Values in a joined row.
    pub(crate) width: usize,
    pub(crate) filters: Vec<Ex>,
    /// None: the rows are not grouped.
    pub(crate) group: Option<Vec<Ex>>,
    pub(crate) aggregates: Vec<Aggregate>,
    pub(crate) having: Option<Ex>,
    /// Set-returning functions in the SELECT list.
    pub(crate) sets: Vec<(SetFunction, Vec<Ex>, Vec<Kind>)>,
    pub(crate) items: Vec<Ex>,
    pub(crate) distinct: Distinct,
}

#[derive(Debug, Default)]
pub(crate) enum Distinct {
    #[default]
    No,
    Rows,
    On(Vec<Ex>),
}

#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) key: OrderKey,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

#[derive(Debug)]
pub(crate) enum OrderKey {
    /// A column of the result.
    Output(usize),
    /// Something of the row the result's row is made of.
    Expression(Ex),
}

#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) how: AggregateKind,
    pub(crate) distinct: bool,
    /// Empty: `count(*)`.
    pub(crate) args: Vec<Ex>,
    pub(crate) filter: Option<Ex>,
    pub(crate) order: Vec<Order>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggregateKind {
    Count,
    Sum,
    Min,
    Max,
    And,
    Or,
    Array,
    String,
}

/// One relation of a FROM clause, or a join; its columns begin at `offset` in the joined row.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) offset: usize,
    pub(crate) width: usize,
    /// Conditions on rows up to and with this node's.
    pub(crate) filters: Vec<Ex>,
    pub(crate) source: Source,
}

#[derive(Debug)]
pub(crate) enum Source {
    /// A system relation.
    Table(&'static super::data::Shape),
    /// A view or a subquery; `lateral` ones may read the rows to the left.
    Query {
        plan: Arc<Plan>,
        lateral: bool,
    },
    Cte(usize),
    /// Functions side by side, with a number if WITH ORDINALITY.
    Functions {
        calls: Vec<(SetFunction, Vec<Ex>, Vec<Kind>, usize)>,
        ordinality: bool,
    },
    Join {
        how: JoinKind,
        left: Box<Node>,
        right: Box<Node>,
        on: Vec<Ex>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
}

/// An expression.
#[derive(Clone, Debug)]
pub(crate) enum Ex {
    Const(Value),
    Param(usize),
    /// A value of the row of the query `up` levels out.
    Column {
        up: usize,
        at: usize,
    },
    Aggregate(usize),
    /// The current value of a set-returning function of the SELECT list.
    Set(usize),
    And(Box<Ex>, Box<Ex>),
    Or(Box<Ex>, Box<Ex>),
    Not(Box<Ex>),
    IsNull(Box<Ex>),
    /// IS NOT DISTINCT FROM
    Same(Box<Ex>, Box<Ex>),
    Operate(Operator, Box<Ex>, Box<Ex>),
    Call(Function, Vec<Ex>, Arc<[Kind]>),
    Cast {
        ex: Box<Ex>,
        from: Kind,
        to: Kind,
    },
    Case(Vec<(Ex, Ex)>, Option<Box<Ex>>),
    Coalesce(Vec<Ex>),
    /// `left op ANY (array)` or `ALL`.
    Quantified {
        operator: Operator,
        all: bool,
        left: Box<Ex>,
        right: Box<Ex>,
    },
    Array(Vec<Ex>),
    Row(Vec<Ex>),
    /// Its index of the first element is `base`.
    Subscript {
        array: Box<Ex>,
        index: Box<Ex>,
        base: i64,
    },
    Slice {
        array: Box<Ex>,
        from: Option<Box<Ex>>,
        to: Option<Box<Ex>>,
        base: i64,
    },
    Field(Box<Ex>, usize),
    Subquery(Arc<Plan>, SubqueryKind),
}

#[derive(Clone, Debug)]
pub(crate) enum SubqueryKind {
    Scalar,
    Exists,
    Array,
    /// `left op ANY (query)` or `ALL`; a row on the left is compared field by field.
    Quantified {
        operator: Operator,
        all: bool,
        left: Box<Ex>,
    },
}

impl Ex {
    /// Calls `see` with every column of this query level, `up` levels out, that the expression reads; false if it cannot be known
    /// (a subquery is in it).
    pub(crate) fn columns(&self, see: &mut dyn FnMut(usize, usize)) -> bool {
        let all = |exs: &[&Ex], see: &mut dyn FnMut(usize, usize)| {
            // Every part is looked at, also after one that cannot be known.
            let unknown = exs.iter().filter(|ex| !ex.columns(see)).count();
            unknown == 0
        };
        match self {
            Ex::Const(_) | Ex::Param(_) => true,
            Ex::Column { up, at } => {
                see(*up, *at);
                true
            }
            Ex::Aggregate(_) | Ex::Set(_) | Ex::Subquery(..) => false,
            Ex::And(a, b) | Ex::Or(a, b) | Ex::Same(a, b) | Ex::Operate(_, a, b) => all(&[a, b], see),
            Ex::Quantified { left, right, .. } => all(&[left, right], see),
            Ex::Subscript { array, index, .. } => all(&[array, index], see),
            Ex::Not(a) | Ex::IsNull(a) | Ex::Cast { ex: a, .. } | Ex::Field(a, _) => a.columns(see),
            Ex::Call(_, args, _) | Ex::Coalesce(args) | Ex::Array(args) | Ex::Row(args) => {
                all(&args.iter().collect::<Vec<_>>(), see)
            }
            Ex::Case(branches, last) => {
                let mut parts: Vec<&Ex> = branches.iter().flat_map(|(a, b)| [a, b]).collect();
                parts.extend(last.as_deref());
                all(&parts, see)
            }
            Ex::Slice { array, from, to, .. } => {
                let mut parts: Vec<&Ex> = vec![array];
                parts.extend(from.as_deref());
                parts.extend(to.as_deref());
                all(&parts, see)
            }
        }
    }

    /// The parts of a conjunction.
    pub(crate) fn conjuncts(self, out: &mut Vec<Ex>) {
        match self {
            Ex::And(a, b) => {
                a.conjuncts(out);
                b.conjuncts(out);
            }
            other => out.push(other),
        }
    }
}

impl Node {
    fn end(&self) -> usize {
        self.offset + self.width
    }

    /// Takes a condition as far down as it may go; gives it back if it must be judged above.
    pub(crate) fn push(&mut self, condition: Ex) -> Option<Ex> {
        let mut last = None;
        let known = condition.columns(&mut |up, at| {
            if up == 0 {
                last = last.max(Some(at));
            }
        });
        if !known || last.is_some_and(|last| last >= self.end()) {
            return Some(condition);
        }
        self.push_known(condition, last)
    }

    fn push_known(&mut self, condition: Ex, last: Option<usize>) -> Option<Ex> {
        match &mut self.source {
            Source::Join { how, left, right, .. } => match how {
                JoinKind::Inner if last.is_some_and(|last| last >= right.offset) => right.push_known(condition, last),
                JoinKind::Inner => left.push_known(condition, last),
                JoinKind::Left if last.is_none_or(|last| last < right.offset) => left.push_known(condition, last),
                _ => Some(condition),
            },
            _ => {
                self.filters.push(condition);
                None
            }
        }
    }

    /// Takes conditions that decide a join: those on the right side's rows go there.
    pub(crate) fn push_into_right(&mut self, condition: Ex) -> Option<Ex> {
        match &mut self.source {
            Source::Join { how: JoinKind::Inner, .. } => self.push(condition),
            Source::Join { how: JoinKind::Left, right, .. } => right.push(condition),
            _ => Some(condition),
        }
    }
}
