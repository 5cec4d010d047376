// What every page does. Each module finds its own elements and does nothing where there are none.
import { followAddress } from "./addresses.js";
import { startClock } from "./clock.js";
import { startCopying } from "./copy.js";
import { startDialog } from "./dialog.js";
import { startMenus } from "./menus.js";
import { startPalette } from "./palette.js";
import { startTheme } from "./theme.js";

for (const element of document.querySelectorAll("[data-js]")) element.hidden = false;
for (const element of document.querySelectorAll("[data-nojs]")) element.hidden = true;
followAddress();
startTheme();
startMenus();
startDialog();
startPalette();
startCopying();
startClock();
