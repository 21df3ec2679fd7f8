// Shows openapi.json as a page. All text is set as text, never as markup.
const METHODS = ["get", "post", "put", "patch", "delete", "head"];

function element(name, text = "", ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function marked(name, text, className) {
  const made = element(name, text);
  made.className = className;
  return made;
}

function typeOf(schema = {}) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" | ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  return schema.format ? `${schema.type} (${schema.format})` : schema.type ?? "any";
}

function table(heads, rows) {
  const made = element("table", "", element("tr", "", ...heads.map((text) => element("th", text))));
  for (const row of rows) made.append(element("tr", "", ...row.map((text) => element("td", text))));
  return made;
}

function fieldsOf(schema = {}) {
  const needed = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => [
    needed.has(name) ? `${name} *` : name, typeOf(field), field.description ?? "",
  ]);
  return rows.length ? table(["field", "type", ""], rows) : element("p", typeOf(schema));
}

function call(method, path, described) {
  const made = element("details", "", element("summary", "",
    marked("span", method.toUpperCase(), "method"), element("code", path),
    marked("span", described.summary ?? "", "words")));
  made.append(element("p", described.description ?? ""));
  const parameters = described.parameters ?? [];
  if (parameters.length) {
    made.append(element("h4", "Parameters"), table(["name", "in", "type", ""], parameters.map((each) =>
      [each.required ? `${each.name} *` : each.name, each.in, typeOf(each.schema), each.description ?? ""])));
  }
  for (const [kind, body] of Object.entries(described.requestBody?.content ?? {})) {
    made.append(element("h4", `Body: ${kind}`), fieldsOf(body.schema));
  }
  made.append(element("h4", "Answers"), table(["status", "", "body"], Object.entries(described.responses ?? {}).map(
    ([status, answer]) => [status, answer.description ?? "",
      Object.entries(answer.content ?? {}).map(([kind, body]) => `${kind}: ${typeOf(body.schema)}`).join("\n")])));
  return made;
}

async function show() {
  const described = await (await fetch("/openapi.json")).json();
  const groups = new Map((described.tags ?? []).map((tag) => [tag.name, element("section", "",
    element("h2", tag.name), element("p", tag.description ?? ""))]));
  for (const [path, calls] of Object.entries(described.paths)) {
    for (const method of METHODS.filter((name) => calls[name])) {
      const tag = calls[method].tags?.[0] ?? "other";
      if (!groups.has(tag)) groups.set(tag, element("section", "", element("h2", tag)));
      groups.get(tag).append(call(method, path, calls[method]));
    }
  }
  const schemas = element("section", "", element("h2", "Values"));
  for (const [name, schema] of Object.entries(described.components?.schemas ?? {})) {
    schemas.append(element("details", "", element("summary", name), element("p", schema.description ?? ""), fieldsOf(schema)));
  }
  document.querySelector("#content").replaceChildren(element("p", described.info.description), ...groups.values(), schemas);
}

show();
