//! Our optimizer rules, among DataFusion's.

use std::sync::Arc;

use datafusion::optimizer::OptimizerRule;

type Rules = Vec<Arc<dyn OptimizerRule + Send + Sync>>;

/// DataFusion's rules with ours where they belong.
pub(crate) fn rules(defaults: Rules) -> Rules {
    defaults
}
