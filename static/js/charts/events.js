// TensorBoard's event files among the artifacts: their scalars as panels beside the metrics, read once.

function panelOf(key) {
  const panel = document.createElement("section");
  panel.className = "panel chart";
  panel.setAttribute("aria-label", key);
  const title = document.createElement("h2");
  title.textContent = key;
  const plot = document.createElement("div");
  plot.className = "plot";
  panel.append(title, plot);
  return panel;
}

function words({ series, problems, left_out: more }) {
  const said = problems.map(({ path, problem }) => `${path}: ${problem}`);
  if (more) said.push(`${more} more files were not read.`);
  if (!series.length) said.unshift("There are no scalars in the event files.");
  return said.join(" ");
}

/** Return pairs of a panel, which stands on the page, and what is drawn in it. */
export async function eventPanels(host, answerOf) {
  const said = document.getElementById("events-said");
  try {
    const found = await answerOf(host.dataset.url);
    said.textContent = words(found);
    const panels = found.series.map(({ key, points, downsampled }) => [panelOf(key), [{ name: "value", points, downsampled }]]);
    document.getElementById("event-charts").replaceChildren(...panels.map(([panel]) => panel));
    return panels;
  } catch (error) {
    said.textContent = `They cannot be read: ${error.message}`;
    return [];
  }
}
