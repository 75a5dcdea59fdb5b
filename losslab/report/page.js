"use strict";
// Every color in a chart is a CSS variable, so that light, dark and print need no second drawing.
const specifications = JSON.parse(document.getElementById("charts").textContent);
for (const place of document.querySelectorAll("[data-chart]")) {
  vegaEmbed(place, specifications[place.dataset.chart], {
    mode: "vega-lite",
    ast: true, // expressions are interpreted: the page's policy forbids making code from text
    renderer: "svg",
    actions: false,
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  }).catch((error) => {
    place.textContent = `This chart could not be drawn (${error.message}); the table has its numbers.`;
  });
}
