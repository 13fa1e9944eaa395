//! The row driver: expressions over one row, compiled once, without DataFusion.
//!
//! ```text
//! a + $1        Arithmetic(Add, int4, [Column 0, Param 0])      bind: names, types and parameters are settled
//! evaluate      row image + parameters -> Datum                 the same values and errors as the Arrow driver
//! ```
//!
//! 1. `bind` knows few forms and answers `None` for any other: then the statement goes to DataFusion.
//! 2. An undeclared parameter, like a string constant, takes the type of what it meets; one that meets nothing is not bound.
//!
//! Not here: calls of functions, subqueries; the types of a statement's other clauses.

mod aggregate;
mod bind;
mod evaluate;

pub use aggregate::{Aggregated, RowAggregate};
pub use bind::{Binder, Bound};

use std::collections::BTreeSet;

use types::{Datum, SqlType};

/// A compiled expression.
#[derive(Clone, Debug, PartialEq)]
pub struct RowExpr {
    pub(crate) node: Node,
    /// The type of every value it gives.
    pub data_type: SqlType,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// A stored column, from 0.
    Column(usize),
    /// A parameter, from 0.
    Param(usize),
    Literal(Datum),
    Arithmetic(Arithmetic, Box<[RowExpr; 2]>),
    Compare(Comparison, Box<[RowExpr; 2]>),
    And(Box<[RowExpr; 2]>),
    Or(Box<[RowExpr; 2]>),
    Not(Box<RowExpr>),
    IsNull(Box<RowExpr>),
    Concat(Box<[RowExpr; 2]>),
    Coalesce(Vec<RowExpr>),
    /// To the expression's type, by the rules of assignment.
    Cast(Box<RowExpr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl RowExpr {
    /// The stored column at `column`.
    pub fn column(column: usize, data_type: SqlType) -> RowExpr {
        RowExpr { node: Node::Column(column), data_type }
    }

    /// A value of this type.
    pub fn constant(value: Datum, data_type: SqlType) -> RowExpr {
        RowExpr { node: Node::Literal(value), data_type }
    }

    /// Both conditions.
    #[must_use]
    pub fn and(self, other: RowExpr) -> RowExpr {
        RowExpr { node: Node::And(Box::new([self, other])), data_type: SqlType::Bool }
    }

    /// True if the precision of its type is that of its values: a cast's or a parameter's, not one worked out for arithmetic.
    pub fn has_precision(&self) -> bool {
        matches!(self.node, Node::Cast(_) | Node::Param(_))
    }

    /// True if it reads no column, so that it has one value for all rows.
    pub fn is_constant(&self) -> bool {
        self.columns().is_empty()
    }

    /// The stored columns it reads, in order.
    pub fn columns(&self) -> BTreeSet<usize> {
        match &self.node {
            Node::Column(column) => BTreeSet::from([*column]),
            Node::Param(_) | Node::Literal(_) => BTreeSet::new(),
            Node::Arithmetic(_, pair) | Node::Compare(_, pair) | Node::And(pair) | Node::Or(pair) | Node::Concat(pair) => {
                pair.iter().flat_map(RowExpr::columns).collect()
            }
            Node::Not(inner) | Node::IsNull(inner) | Node::Cast(inner) => inner.columns(),
            Node::Coalesce(list) => list.iter().flat_map(RowExpr::columns).collect(),
        }
    }

    /// The parameter this is, from 0.
    pub fn as_param(&self) -> Option<usize> {
        match self.node {
            Node::Param(at) => Some(at),
            _ => None,
        }
    }

    /// The stored column this is, unchanged.
    pub fn as_column(&self) -> Option<usize> {
        match self.node {
            Node::Column(column) => Some(column),
            _ => None,
        }
    }
}
