// Draws what the page holds: charts with vegaEmbed, tables with DataTables.

const held = (id) => JSON.parse(document.getElementById(id).textContent);

async function drawCharts() {
  for (const place of document.querySelectorAll("[data-chart]")) {
    await window.vegaEmbed(place, held(`chart-${place.dataset.chart}`), {
      actions: false,
      logLevel: 1, // errors alone
      renderer: "svg",
      tooltip: { theme: "custom" },
    });
  }
}

const escaped = (text) =>
  String(text).replace(
    /[&<>"']/g,
    (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[sign],
  );

const fixed = (digits) => (value) =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

const scaled = (value, units, digits) => {
  const [size, unit] = units.find(([size]) => value >= size) ?? units.at(-1);
  return `${(value / size).toPrecision(digits)} ${unit}`;
};

const SPELL = {
  percent: fixed(2),
  rate: fixed(3),
  fine: fixed(5),
  difference: (value) => (value > 0 ? "+" : "") + fixed(Math.abs(value) < 1 ? 3 : 2)(value),
  number: (value) => value.toLocaleString("en", { maximumFractionDigits: 0 }),
  seconds: (value) => fixed(1)(value),
  bytes: (value) =>
    scaled(value, [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]], 3),
  p: (value) => (value < 0.001 ? "< 0.001" : fixed(3)(value)),
};

const UNITS = { percent: " %", seconds: " s" };

function cellOf(kind) {
  const spell = SPELL[kind];
  return (cell, type) => {
    if (kind === "text") return type === "display" ? escaped(cell) : cell;
    const [value, low, high, deviation] = Array.isArray(cell) ? cell : [cell];
    // What is not known counts as the largest: last when rising, first when falling.
    if (type === "sort" || type === "type") return value ?? Number.MAX_VALUE;
    if (value == null) return "";
    const spread =
      (deviation == null ? "" : ` ± ${spell(deviation)}`) +
      (low == null || high == null ? "" : ` [${spell(low)}, ${spell(high)}]`);
    const text = spell(value);
    if (type === "filter") return text + spread;
    return escaped(text) + (spread && ` <span class="spread">${escaped(spread)}</span>`);
  };
}

function columnOf({ title, kind, group }) {
  return {
    title: escaped(title + (UNITS[kind] ? ` (${UNITS[kind].trim()})` : "")),
    className: kind === "text" ? "text" : "number",
    type: kind === "text" ? "string" : "num",
    visible: !group,
    render: cellOf(kind),
  };
}

function addToggles(place, columns, table) {
  const groups = [...new Set(columns.map((column) => column.group).filter(Boolean))];
  for (const group of groups) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.addEventListener("change", () => {
      columns.forEach((column, place) => {
        if (column.group === group) table.column(place).visible(box.checked);
      });
    });
    label.append(box, `Show ${group}`);
    place.append(label);
  }
}

async function drawTables() {
  const code = document.getElementById("datatables").textContent;
  const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const { default: DataTable } = await import(address);
  URL.revokeObjectURL(address);
  for (const element of document.querySelectorAll("[data-table]")) {
    const { columns, rows } = held(`rows-${element.dataset.table}`);
    const table = new DataTable(element, {
      autoWidth: false,
      columns: columns.map(columnOf),
      data: rows,
      deferRender: true,
      language: {
        info: "_START_ to _END_ of _TOTAL_",
        infoFiltered: "(of _MAX_)",
        lengthMenu: "Rows _MENU_",
        search: "Filter",
        searchPlaceholder: "words of a name",
        zeroRecords: "No row has these words.",
      },
      layout: { topStart: "search", topEnd: null, bottomStart: "info", bottomEnd: "paging", bottom: null },
      lengthMenu: [10, 25, 100, -1],
      order: [],
      pageLength: 15,
    });
    const place = document.querySelector(`[data-columns="${element.dataset.table}"]`);
    addToggles(place, columns, table);
  }
}

await Promise.all([drawCharts(), drawTables()]);
document.documentElement.dataset.ready = "yes";
