import http from "k6/http";
import { check } from "k6";
export default function () {
  const token = http.get(`${__ENV.URL}/items/1`).json("sku");
  const headers = { "Content-Type": "application/json", "X-Token": token };
  const ordered = http.post(`${__ENV.URL}/orders`, JSON.stringify({ sku: token }), { headers });
  check(ordered, { ordered: (reply) => reply.status === 201 });
}
