/** The models that thimble ships. */
export { ResNet9 } from "./resnet9.ts";
