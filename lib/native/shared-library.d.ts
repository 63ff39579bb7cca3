/** A shared library that a script imports `with { type: "file" }` is its path. */
declare module "*.so" {
  const path: string;
  export default path;
}
