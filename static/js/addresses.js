// MLflow's client prints addresses of its own pages ("View run … at …"); what they mean is found here.
const RUN = /^#\/experiments\/\d+\/runs\/([0-9a-f]{32})/;

function follow() {
  const found = location.pathname === "/" && RUN.exec(location.hash);
  if (found) location.replace(`/runs/${found[1]}/`);
}

export function followAddress() {
  follow();
  addEventListener("hashchange", follow); // typed while the page is open
}
