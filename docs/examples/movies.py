"""Rank the movies of Together's reranker cookbook with this server.

The code is that of the cookbook. Two environment variables select the server:

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
