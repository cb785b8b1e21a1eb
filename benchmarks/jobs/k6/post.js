import http from "k6/http";
export default function () {
  const headers = { "Content-Type": "application/json" };
  http.post(`${__ENV.URL}/orders`, JSON.stringify({ sku: "SKU-0001" }), { headers });
}
