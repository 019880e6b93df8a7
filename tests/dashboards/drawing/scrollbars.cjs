// Grafana's modules import the default of this one as Node does: the whole of what it exports.
module.exports = require("./node_modules/react-custom-scrollbars-2/lib/index.js").Scrollbars;
