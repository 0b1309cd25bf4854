// What draws the charts of the page /community, with its sheet beside it.
import "uplot/dist/uPlot.min.css";

export { default } from "uplot";
