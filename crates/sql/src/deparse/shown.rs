//! The tree as text: which operand needs parentheses.

use super::Style;

/// An expression as PostgreSQL's tree has it.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A column, a constant, or what is not known.
    Leaf(String),
    /// Name or form with arguments: `f(%, %)`, each `%` one of them.
    Call(String, Vec<Node>),
    /// An operator between two operands.
    Operator(Box<[Node; 2]>, String),
    Prefix(&'static str, Box<Node>),
    /// IS DISTINCT FROM
    Distinct(Box<[Node; 2]>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    /// IS NULL and its like.
    Test(Box<Node>, &'static str),
    /// `a = ANY (b)`
    Any(Box<[Node; 2]>, &'static str),
    Array(Vec<Node>),
    Cast(Box<Node>, String),
    Case {
        operand: Option<Box<Node>>,
        branches: Vec<[Node; 2]>,
        otherwise: Box<Node>,
    },
}

impl Node {
    pub(super) fn is_call(&self) -> bool {
        matches!(self, Node::Call(..))
    }
}

pub(super) fn shown(node: &Node, style: Style) -> String {
    let full = style == Style::Full;
    let wrapped = |text: String| if full { format!("({text})") } else { text };
    let operand = |child: &Node| within(child, node, style);
    match node {
        Node::Leaf(text) => text.clone(),
        Node::Call(form, arguments) => {
            let mut arguments = arguments.iter();
            let mut text = String::new();
            for piece in form.split_inclusive('%') {
                match (piece.strip_suffix('%'), arguments.next()) {
                    (Some(before), Some(argument)) => {
                        text.push_str(before);
                        text.push_str(&shown(argument, style));
                    }
                    _ => text.push_str(piece),
                }
            }
            text
        }
        Node::Operator(operands, operator) => wrapped(format!("{} {operator} {}", operand(&operands[0]), operand(&operands[1]))),
        Node::Prefix(operator, inner) => wrapped(format!("{operator} {}", operand(inner))),
        Node::Distinct(operands) => wrapped(format!("{} IS DISTINCT FROM {}", operand(&operands[0]), operand(&operands[1]))),
        Node::And(parts) => wrapped(parts.iter().map(operand).collect::<Vec<_>>().join(" AND ")),
        Node::Or(parts) => wrapped(parts.iter().map(operand).collect::<Vec<_>>().join(" OR ")),
        Node::Not(inner) => wrapped(format!("NOT {}", operand(inner))),
        Node::Test(inner, what) => wrapped(format!("{}{what}", operand(inner))),
        Node::Any(operands, how) => wrapped(format!("{} {how} ({})", operand(&operands[0]), operand(&operands[1]))),
        Node::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(|element| shown(element, style)).collect();
            format!("ARRAY[{}]", elements.join(", "))
        }
        Node::Cast(inner, name) => format!("{}::{name}", wrapped(operand(inner))),
        Node::Case { operand: compared, branches, otherwise } => {
            let compared = compared.as_ref().map(|c| format!(" {}", shown(c, style))).unwrap_or_default();
            let mut text = format!("\nCASE{compared}");
            for [when, then] in branches {
                text.push_str(&format!("\n    WHEN {} THEN {}", shown(when, style), shown(then, style)));
            }
            format!("{text}\n    ELSE {}\nEND", shown(otherwise, style))
        }
    }
}

/// A part of `parent`, in parentheses if it needs them.
fn within(child: &Node, parent: &Node, style: Style) -> String {
    let text = shown(child, style);
    if style == Style::Full || is_simple(child, parent) { text } else { format!("({text})") }
}

/// PostgreSQL's `isSimpleNode`.
fn is_simple(child: &Node, parent: &Node) -> bool {
    match child {
        Node::Leaf(_) | Node::Call(..) | Node::Array(_) | Node::Case { .. } => true,
        Node::Cast(inner, _) => is_simple(inner, child),
        Node::Operator(_, operator) => match parent {
            Node::Operator(operands, outer) => match (rank(operator), rank(outer)) {
                (Some(inner), Some(outer)) if inner == outer => std::ptr::eq(child, &operands[0]),
                (Some(inner), Some(outer)) => inner > outer,
                _ => false,
            },
            _ => matches!(parent, Node::And(_) | Node::Or(_) | Node::Not(_)),
        },
        Node::Prefix(..) | Node::Distinct(_) | Node::Test(..) => matches!(parent, Node::And(_) | Node::Or(_) | Node::Not(_)),
        Node::And(_) | Node::Not(_) => matches!(parent, Node::And(_) | Node::Or(_)),
        Node::Or(_) => matches!(parent, Node::Or(_)),
        Node::Any(..) => false,
    }
}

/// How tightly an operator binds, of those about which `isSimpleNode` knows.
fn rank(operator: &str) -> Option<u8> {
    match operator {
        "+" | "-" => Some(0),
        "*" | "/" | "%" => Some(1),
        _ => None,
    }
}
