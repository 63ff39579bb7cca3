/** The models that thimble ships. */
export { generate, type GenerateOptions } from "./generate.ts";
export { LanguageModel, type LanguageModelOptions } from "./language-model.ts";
export { ResNet9 } from "./resnet9.ts";
