// What a product writes with the types that `openapi-typescript` generates. It is compiled, not run.
import type { components, operations, paths } from "./api";

type Body<Operation extends { responses: object }, Status extends keyof Operation["responses"]> =
  Operation["responses"][Status] extends { content: { "application/json": infer Json } } ? Json : never;

type CreatedApiKey = Body<operations["createOrganizationApiKey"], 201>;
type Validation = Body<operations["validateApiKey"], 200>;
type ApiKeyPage = Body<operations["listOrganizationApiKeys"], 200>;
type Refusal = components["schemas"]["ErrorBody"];

const create: NonNullable<operations["createOrganizationApiKey"]["requestBody"]>["content"]["application/json"] = {
  name: "Production",
  permissions: ["posts:read"],
};

const path: keyof paths = "/api_keys/{id}/rotate";

export function show(key: CreatedApiKey, page: ApiKeyPage): string {
  return `${path} ${create.name} ${key.value} ${page.data.map((key) => key.obfuscated_value).join()}`;
}

export function isAccepted(validation: Validation, failure?: Refusal): boolean {
  // @ts-expect-error: a validation has no such field, and the types know it.
  void validation.valid;
  return failure === undefined && validation.api_key != null;
}
