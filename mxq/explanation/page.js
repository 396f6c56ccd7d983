// Sorting and filtering. The page reads without it: tables come sorted, nothing is hidden.
(function () {
  "use strict";
  document.documentElement.classList.add("js");

  function value(row, column) {
    var cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent.trim().toLowerCase() : parseFloat(cell.dataset.v);
  }

  function compare(a, b) {
    if (typeof a === "string" && typeof b === "string") return a.localeCompare(b, undefined, { numeric: true });
    var gone = Number.isNaN(a) - Number.isNaN(b);
    return gone || (a === b ? 0 : a - b);
  }

  document.querySelectorAll("table.sortable").forEach(function (table) {
    var body = table.tBodies[0];
    var heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach(function (head, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.textContent = "";
      head.appendChild(button);
      button.addEventListener("click", function () {
        var down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        var rows = Array.from(body.rows).map(function (row) { return { row: row, key: value(row, column) }; });
        rows.sort(function (a, b) {
          // what was not measured stays at the end either way
          if (Number.isNaN(a.key) || Number.isNaN(b.key)) return compare(a.key, b.key);
          return down ? compare(b.key, a.key) : compare(a.key, b.key);
        });
        rows.forEach(function (item) { body.appendChild(item.row); });
      });
    });
  });

  function items(control) {
    return Array.from(document.querySelectorAll("#" + control.dataset.target + " [data-item]"));
  }

  function filter(section) {
    var controls = Array.from(section.querySelectorAll("[data-filter]"));
    var shown = 0;
    var all = items(controls[0]);
    all.forEach(function (item) {
      var keep = controls.every(function (control) {
        var wanted = control.value.trim().toLowerCase();
        var text = control.dataset.filter === "text" ? item.textContent : item.dataset[control.dataset.filter];
        return !wanted || text.toLowerCase().indexOf(wanted) >= 0;
      });
      item.hidden = !keep;
      shown += keep;
    });
    section.querySelector("output").textContent = shown === all.length ? "" : shown + " of " + all.length;
  }

  document.querySelectorAll(".tools").forEach(function (tools) {
    tools.querySelectorAll("[data-filter]").forEach(function (control) {
      control.addEventListener("input", function () { filter(tools); });
    });
    tools.querySelectorAll("[data-sort]").forEach(function (control) {
      control.addEventListener("change", function () {
        var found = items(control);
        found.sort(function (a, b) { return parseFloat(a.dataset[control.value]) - parseFloat(b.dataset[control.value]); });
        found.forEach(function (item) { item.parentNode.appendChild(item); });
      });
    });
  });
})();
