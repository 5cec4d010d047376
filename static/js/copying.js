// Copy buttons on the operators' pages, which load nothing else of ours.
import { startCopying } from "./copy.js";

startCopying();
