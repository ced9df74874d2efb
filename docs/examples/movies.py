"""Together's cookbook on rerankers, "super hero mystery action movie about bats", against this server.

The code of the cookbook does not change; two variables say where to:

    TOGETHER_BASE_URL=http://127.0.0.1:8080 TOGETHER_API_KEY=any python docs/examples/movies.py
"""

import json
from pathlib import Path

from together import Together

client = Together()
top_25_sorted_titles = json.loads((Path(__file__).parent / "movies.json").read_text())
query = "super hero mystery action movie about bats"

response = client.rerank.create(
    model="Salesforce/Llama-Rank-V1",
    query=query,
    documents=top_25_sorted_titles,
    top_n=5,
)

for result in response.results or []:
    print(f"Document Index: {result.index}")
    print(f"Document: {top_25_sorted_titles[result.index]}")
    print(f"Relevance Score: {result.relevance_score}")
